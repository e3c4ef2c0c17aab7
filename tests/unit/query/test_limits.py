"""A user gets so many reads, the process so many at once."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.batch import User
from services.query.limits import LONGEST_S, REMEMBERED, Gate, Limits, Rate, Turnover
from shared.web import Refused

ME = User(1, 7)


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 5), min_size=2, max_size=200),
)
def test_nobody_gets_more_than_the_burst_and_what_came_since(
    per_second: float, burst: int, gaps: list[float]
) -> None:
    rate = Rate(per_second, burst)
    now, granted = 0.0, 0
    for gap in gaps:
        now += gap
        granted += rate.wait(ME, now) == 0

    assert 1 <= granted <= burst + now * per_second + 1e-6


@given(st.floats(0.1, 1000), st.integers(1, 50))
def test_who_waits_as_long_as_told_gets_the_next(per_second: float, burst: int) -> None:
    rate = Rate(per_second, burst)
    while not (wait := rate.wait(ME, 0.0)):
        pass

    assert rate.wait(ME, wait * 1.0001) == 0


def test_users_and_companies_do_not_share_their_reads() -> None:
    rate = Rate(1, 1)

    assert [rate.wait(user, 0.0) for user in (ME, User(1, 8), User(2, 7))] == [0, 0, 0]
    assert rate.wait(ME, 0.0) > 0


def test_without_a_rate_everything_passes() -> None:
    rate = Rate(0, 1)

    assert {rate.wait(ME, 0.0) for _ in range(100)} == {0}


def test_of_many_users_those_seen_last_are_remembered() -> None:
    rate = Rate(0.001, 1)
    for number in range(REMEMBERED + 1):
        rate.wait(User(1, number), 0.0)

    assert rate.wait(User(1, REMEMBERED), 1.0) > 0
    assert rate.wait(User(1, 0), 1.0) == 0


def test_a_refusal_says_when_to_come_back() -> None:
    limits = Limits(Rate(0.25, 1))
    limits.admit(ME)

    with pytest.raises(Refused) as refused:
        limits.admit(ME)

    assert (refused.value.status, refused.value.code) == (429, "rate_limited")
    assert refused.value.headers == {"Retry-After": "4"}


async def test_so_many_run_at_once_and_those_who_wait_come_in_their_order() -> None:
    gate = Gate(running=2, waiting=10, patience_s=5)
    begun: list[int] = []
    most = running = 0

    async def work(number: int) -> None:
        nonlocal most, running
        async with gate.turn():
            begun.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(work(number))

    assert most == 2
    assert all(first < then for first, then in pairwise(begun))


async def test_more_than_may_wait_are_refused_at_once() -> None:
    gate = Gate(running=1, waiting=1, patience_s=0.05)
    statuses: list[int] = []

    async def ask() -> None:
        try:
            async with gate.turn():
                statuses.append(200)
        except Refused as refused:
            statuses.append(refused.status)

    async with gate.turn():
        assert gate.busy
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask())
    await ask()

    assert statuses == [503, 503, 503, 200]


def turning(running: int, read_s: float) -> Turnover:
    """Where reads have taken so long for a while."""
    found = Turnover(running)
    for _ in range(1000):
        found.took(read_s)
    return found


@pytest.mark.parametrize(("read_s", "waiting"), [(0.01, 200), (0.1, 20), (1, 2), (60, 1)])
async def test_as_many_wait_as_come_to_their_turn(read_s: float, waiting: int) -> None:
    gate = Gate(running=1, patience_s=1.995, turnover=turning(1, read_s))
    refused = 0

    async def ask() -> None:
        nonlocal refused
        try:
            async with gate.turn():
                pass
        except Refused:
            refused += 1

    async with asyncio.TaskGroup() as group, gate.turn():
        for _ in range(1_000):
            group.create_task(ask())
        await asyncio.sleep(0)

    assert 1_000 - refused == waiting


@given(st.integers(1, 20), st.floats(0.001, 2), st.integers(0, 400), st.integers(2, 300))
def test_who_is_refused_comes_back_as_there_is_room(
    running: int, read_s: float, before: int, refused: int
) -> None:
    turnover = turning(running, read_s)

    told = [turnover.promise(before, 100.0) for _ in range(refused)]

    served_s = read_s / running
    assert told[0] == pytest.approx(min((before + 1) * served_s, LONGEST_S), rel=1e-3)
    assert max(told) <= LONGEST_S
    for one, then in pairwise(told):
        following = one + served_s
        is_next = then == pytest.approx(following, rel=1e-3)
        assert is_next or (then == pytest.approx(told[0]) and following > LONGEST_S * 0.999)


def test_who_is_refused_later_is_told_to_wait_less_for_those_before() -> None:
    turnover = turning(1, 1.0)
    first = [turnover.promise(0, 0.0) for _ in range(3)]

    later = [turnover.promise(0, now) for now in (2.0, 100.0)]

    assert first == pytest.approx([1, 2, 3])
    assert later == pytest.approx([2, 1])


async def test_who_gives_up_waiting_leaves_a_place_for_others() -> None:
    gate = Gate(running=1, waiting=1, patience_s=5)

    async def ask() -> None:
        async with gate.turn():
            pass

    async with gate.turn():
        waiting = asyncio.create_task(ask())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        next_one = asyncio.create_task(ask())
        await asyncio.sleep(0)
    await next_one

    assert not gate.busy

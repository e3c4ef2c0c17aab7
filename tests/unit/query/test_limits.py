"""A user gets so many reads, the process so many at once."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.batch import User
from services.query.limits import REMEMBERED, Gate, Limits, Rate
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

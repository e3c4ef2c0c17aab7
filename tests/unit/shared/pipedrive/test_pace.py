import asyncio
import time

import pytest

from shared.pipedrive import pace
from shared.pipedrive.errors import BurstSpent
from shared.pipedrive.pace import Pace


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WINDOW_S", 0.2)
    monkeypatch.setattr(pace, "JITTER", 0.0)


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


async def call(paced: Pace, made: list[float]) -> None:
    async with paced.turn(soon()):
        made.append(time.monotonic())


async def test_no_window_sees_more_calls_than_the_limit() -> None:
    paced = Pace(5)
    made: list[float] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(18):
            group.create_task(call(paced, made))

    for first, sixth in zip(made, made[5:], strict=False):
        assert sixth - first >= 0.15  # 0.2, less what the first was late to look at its clock


async def test_who_would_wait_past_its_deadline_is_told_at_once_and_takes_no_turn() -> None:
    paced = Pace(1)
    async with paced.turn(soon()):
        pass

    with pytest.raises(BurstSpent) as told:
        async with paced.turn(soon(0.05)):
            pass

    assert 0 < told.value.retry_after_s <= 0.2
    async with paced.turn(soon(0.3)):
        pass


async def test_who_is_refused_again_and_again_waits_longer_each_time_up_to_a_bound() -> None:
    paced = Pace(10)
    waits = []
    for _ in range(8):
        began, paced._not_before = time.monotonic(), 0.0
        for _ in range(3):  # of those that were under way together one counts
            paced.refused(began, 2.0)
        waits.append(paced._not_before - time.monotonic())
    paced.accepted()
    paced._not_before = 0.0
    paced.refused(time.monotonic(), 2.0)

    assert [round(wait) for wait in waits] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert round(paced._not_before - time.monotonic()) == 2


async def test_after_a_refusal_nobody_calls_until_it_is_over() -> None:
    paced = Pace(10)
    paced.hold(0.1)
    began = time.monotonic()

    async with paced.turn(soon()):
        waited = time.monotonic() - began

    assert waited >= 0.099


async def test_who_waits_already_waits_on_when_a_refusal_comes() -> None:
    paced = Pace(1)
    async with paced.turn(soon()):
        pass
    began = time.monotonic()

    async def call() -> float:
        async with paced.turn(soon()):
            return time.monotonic() - began

    waiting = asyncio.create_task(call())
    await asyncio.sleep(0)
    paced.hold(0.5)

    assert await waiting >= 0.499


async def test_a_limit_that_the_headers_raise_is_used() -> None:
    paced = Pace(1)
    paced.learn(limit=100, left=99, reset_s=2)
    began = time.monotonic()

    for _ in range(50):
        async with paced.turn(soon()):
            pass

    assert time.monotonic() - began < 1  # with a limit of one the second waits for two


async def test_what_others_use_up_is_waited_for() -> None:
    paced = Pace(10)

    async with paced.turn(soon()):
        paced.learn(limit=10, left=0, reset_s=0.3)
    began = time.monotonic()
    async with paced.turn(soon()):
        waited = time.monotonic() - began

    assert waited >= 0.299


async def test_what_one_has_used_up_oneself_is_known_without_waiting_longer() -> None:
    paced = Pace(2)

    for left in (1, 0):
        async with paced.turn(soon()):
            paced.learn(limit=2, left=left, reset_s=60)
    began = time.monotonic()
    async with paced.turn(soon()):
        waited = time.monotonic() - began

    assert waited < 1


async def test_a_call_counts_until_its_answer_is_there() -> None:
    paced, answered = Pace(2), asyncio.Event()
    ended, begun = [], []

    async def call() -> None:
        async with paced.turn(soon()):
            begun.append(time.monotonic())
            await answered.wait()
        ended.append(time.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(call())
        asyncio.get_running_loop().call_later(0.3, answered.set)  # longer than a window

    assert begun[2] - ended[0] >= 0.199


async def test_who_gives_up_leaves_no_gap_for_those_behind() -> None:
    paced = Pace(2)
    made: list[float] = []
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(call(paced, made)) for _ in range(12)]
        await asyncio.sleep(0)
        for given_up in waiting[3:9:2]:
            given_up.cancel()

    assert len(made) == 9
    for first, third in zip(made, made[2:], strict=False):
        assert third - first >= 0.199

"""When a round leaves, and what is told at the end."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Unavailable
from shared.kafka.rounds import PACE, ROUNDS, Acked, Lane, Record

LARGE = int(PACE.much)


class Broker:
    """Takes rounds, and says that it has one when told to."""

    def __init__(self) -> None:
        self.rounds: list[Sequence[Record]] = []
        self._taken: list[Acked] = []

    async def deliver(self, records: Sequence[Record]) -> None:
        self.rounds.append(records)
        self._taken.append(asyncio.get_running_loop().create_future())
        await self._taken[-1]

    def has(self, number: int) -> None:
        self._taken[number].set_result(None)


def lane(broker: Broker) -> Lane:
    return Lane(broker.deliver, deadline_s=60.0)


def records(count: int) -> list[Record]:
    return [Record("topic", b"%d" % number, b"") for number in range(count)]


async def add(lane: Lane, count: int) -> Acked:
    acked: Acked = asyncio.get_running_loop().create_future()
    lane.add(records(count), acked)
    await turn()
    return acked


async def turn() -> None:
    """Let all do what they can do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_in_one_turn_leaves_together() -> None:
    broker = Broker()
    of_all = lane(broker)
    for _ in range(3):
        of_all.add(records(1), asyncio.get_running_loop().create_future())
    await turn()
    assert [len(each) for each in broker.rounds] == [3]
    await of_all.close()


async def test_few_records_wait_for_the_round_before_them() -> None:
    broker = Broker()
    of_all = lane(broker)
    await add(of_all, LARGE)
    await add(of_all, LARGE - 2)
    await add(of_all, 1)
    assert [len(each) for each in broker.rounds] == [LARGE]

    broker.has(0)
    await turn()
    assert [len(each) for each in broker.rounds] == [LARGE, LARGE - 1]
    await of_all.close()


async def test_many_records_leave_while_others_are_in_flight_but_not_behind_any_number() -> None:
    broker = Broker()
    of_all = lane(broker)
    for _ in range(ROUNDS + 3):
        await add(of_all, LARGE)
    assert [len(each) for each in broker.rounds] == [LARGE] * ROUNDS

    broker.has(1)
    await turn()
    assert [len(each) for each in broker.rounds] == [LARGE] * ROUNDS + [3 * LARGE]
    await of_all.close()


async def test_many_records_do_not_wait_for_the_end_of_a_rest() -> None:
    broker = Broker()
    of_all = lane(broker)
    acked = await add(of_all, 1)
    broker.has(0)
    await acked
    await add(of_all, LARGE)
    assert [len(each) for each in broker.rounds] == [1, LARGE]
    await of_all.close()


async def test_who_waits_when_it_closes_is_told() -> None:
    broker = Broker()
    of_all = lane(broker)
    waiting = [await add(of_all, LARGE) for _ in range(ROUNDS + 1)]
    await of_all.close()
    for acked in waiting:
        with pytest.raises(Unavailable, match="closing"):
            await acked
    assert len(broker.rounds) == ROUNDS

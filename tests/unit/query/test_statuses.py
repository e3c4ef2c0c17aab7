"""Of those who ask how a company's synchronisation stands, one reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.query.statuses import Statuses, StatusKey
from shared.errors import Unavailable
from tests.support.waiting import until


class Store:
    """Answers, when it may, with the number of the read."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_answer = asyncio.Event()
        self.is_away = False

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        yield self

    async def fetchrow(self, *_: object) -> int:
        self.reads += 1
        number = self.reads
        await self.may_answer.wait()
        if self.is_away:
            raise Unavailable("as if it were away")
        return number


def tell(row: Any) -> dict[str, Any]:
    return {"read": row}


KEY = StatusKey(1, tell)


def told(number: int) -> bytes:
    return b',"syncStatus":{"read":%d}}' % number


async def is_read(store: Store, times: int) -> None:
    async def is_so() -> bool:
        return store.reads == times

    await until(is_so)


async def ask(
    statuses: Statuses, store: Store, tag: bytes | None, *, times: int
) -> tuple[bytes, ...]:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(statuses.now(KEY, tag, store.snapshot)) for _ in range(times)]
    return tuple(task.result() for task in asked)


@pytest.mark.parametrize("tag", [b"g", None])
async def test_one_reads_for_all_who_ask_before_it_begins(tag: bytes | None) -> None:
    statuses, store = Statuses(), Store()
    store.may_answer.set()

    answers = await ask(statuses, store, tag, times=20)

    assert (answers, store.reads) == ((told(1),) * 20, 1)


@pytest.mark.parametrize(("tag", "second"), [(b"g", 1), (None, 2)])
async def test_who_asks_while_one_reads_shares_the_next_read_if_there_may_be_more_to_see(
    tag: bytes | None, second: int
) -> None:
    statuses, store = Statuses(), Store()
    async with asyncio.TaskGroup() as group:
        early = group.create_task(ask(statuses, store, tag, times=1))
        await is_read(store, 1)
        late = group.create_task(ask(statuses, store, tag, times=20))
        store.may_answer.set()

    assert early.result() == (told(1),)
    assert late.result() == (told(second),) * 20
    assert store.reads == second


async def test_what_was_read_holds_until_the_generation_moves_on() -> None:
    statuses, store = Statuses(), Store()
    store.may_answer.set()

    tags = (b"g", b"g", b"h", b"h", None, None)
    answers = [await ask(statuses, store, tag, times=1) for tag in tags]

    assert answers == [(told(n),) for n in (1, 1, 2, 2, 3, 4)]


async def test_what_was_told_last_is_known_to_whoever_knows_nothing_later() -> None:
    statuses, store = Statuses(), Store()
    store.may_answer.set()
    assert statuses.last(KEY, since=0.0) is None

    await ask(statuses, store, None, times=1)

    assert statuses.last(KEY, since=0.0) == told(1)
    assert statuses.last(KEY, since=float("inf")) is None


async def test_a_read_that_fails_fails_for_all_who_wait_and_for_none_after() -> None:
    statuses, store = Statuses(), Store()
    store.may_answer.set()
    store.is_away = True
    with pytest.raises(ExceptionGroup) as failed:
        await ask(statuses, store, b"g", times=2)
    store.is_away = False

    assert failed.group_contains(Unavailable)
    assert store.reads == 1
    assert await ask(statuses, store, b"g", times=1) == (told(2),)

"""Locks are taken in one order, and shared with who shares them."""

import asyncio

import pytest

from shared import db, locks
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def test_locks_asked_for_in_any_order_never_deadlock(database_url: str) -> None:
    names = [(7001, n) for n in range(50)]

    async with db.pool(database_url, "app", size=8) as pool:

        async def work(order: list[tuple[int, int]]) -> None:
            for _ in range(20):
                async with pool.acquire() as conn, conn.transaction():
                    await locks.hold(conn, 1, order[:25], shared=order[25:])
                    await locks.hold_all(conn, {3: order[:25]}, shared={2: order[20:]})

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for turn in range(8):
                group.create_task(work(names[turn:] + names[:turn]))


async def test_a_lock_that_others_hold_is_not_waited_for(database_url: str) -> None:
    async with (
        db.pool(database_url, "app", size=2) as pool,
        pool.acquire() as one,
        pool.acquire() as other,
    ):
        async with one.transaction():
            await locks.hold(one, 1, ["mine"], shared=["ours"])
            for names, got in ((["mine", "free"], False), (["ours"], False), (["free"], True)):
                async with other.transaction():
                    assert await locks.try_hold(other, 1, names) is got
            async with other.transaction():
                assert await locks.try_hold(other, 2, ["mine"])
                assert await locks.try_hold(other, 1, [])
        async with other.transaction():
            assert await locks.try_hold(other, 1, ["mine", "ours"])


async def test_who_shares_a_lock_waits_only_for_who_does_not(database_url: str) -> None:
    async with (
        db.pool(database_url, "app", size=4) as pool,
        pool.acquire() as one,
        pool.acquire() as other,
        pool.acquire() as alone,
    ):
        sharing = one.transaction()
        await sharing.start()
        await locks.hold(one, 1, ["mine"], shared=["ours"])
        async with asyncio.timeout(30), other.transaction():
            await locks.hold(other, 1, (), shared=["ours"])

        async def take_it_alone() -> None:
            async with alone.transaction():
                await locks.hold(alone, 1, ["ours"])

        taking = asyncio.create_task(take_it_alone())
        await until(lambda: _is_waited_for(other))
        await sharing.rollback()
        async with asyncio.timeout(30):
            await taking


async def _is_waited_for(conn: db.Connection) -> bool:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(await conn.fetchval(waiting))

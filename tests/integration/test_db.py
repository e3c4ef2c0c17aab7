"""A pool's connections are clean, alive or cut; what the driver raises is ours to name."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared import db, heart, migrating
from shared.errors import Unavailable
from tests.support import proxy
from tests.support.proxy import Weather
from tests.support.waiting import until

pytestmark = pytest.mark.integration

HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1"


STATEMENTS: dict[str, Callable[[db.Connection], Awaitable[object]]] = {
    "execute": lambda conn: conn.execute("SELECT 1"),
    "execute with parameters": lambda conn: conn.execute("SELECT $1::int", 1),
    "executemany": lambda conn: conn.executemany("INSERT INTO one VALUES ($1)", [(2,), (3,)]),
    "fetch": lambda conn: conn.fetch("SELECT * FROM one"),
    "fetchrow": lambda conn: conn.fetchrow("SELECT * FROM one"),
    "fetchval": lambda conn: conn.fetchval("SELECT n FROM one"),
    "copy": lambda conn: conn.copy_records_to_table("one", records=[(4,)], columns=["n"]),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_is_a_sign_of_life_of_the_loop_that_has_it_run(
    database_url: str, migrations: Path, name: str
) -> None:
    await migrating.migrate(database_url, "app", [migrations])
    with heart.beating("working"):
        mine = heart._hearts[asyncio.current_task()]
        async with db.pool(database_url, "app", size=1) as pool, pool.acquire() as conn:
            before = mine.due
            await STATEMENTS[name](conn)
            stirred = mine.due
            await asyncio.create_task(anything(conn))

    assert stirred > before
    assert mine.due == stirred, "nobody beats for another"


async def anything(conn: db.Connection) -> None:
    await conn.execute("SELECT 1")


async def test_a_statement_does_not_end_a_rest_that_was_announced(database_url: str) -> None:
    with heart.beating("working"):
        mine = heart._hearts[asyncio.current_task()]
        heart.beat(3600)
        announced = mine.due
        conn = await db.connect(database_url, "app")
        await conn.execute("SELECT 1")
        conn.terminate()

    assert mine.due == announced


async def test_json_goes_in_and_out_as_values(database_url: str, migrations: Path) -> None:
    await migrating.migrate(database_url, "app", [migrations])

    async with db.pool(database_url, "app", size=2) as pool:
        values = [{"a": [1, "é"]}, None, {"b": 2.5}]
        rows = await pool.fetch("SELECT more FROM unnest($1::jsonb[]) AS more", values)

    assert [row["more"] for row in rows] == values


async def test_a_postgres_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(Unavailable):
        await migrating.migrate("postgresql://127.0.0.1:1/none", "app", [])
    async with db.pool("postgresql://127.0.0.1:1/none", "app", size=1) as pool:
        with pytest.raises(Unavailable):
            await db.ping(pool)


async def test_a_postgres_that_refuses_our_password_or_lacks_our_database_is_an_outage(
    database_url: str,
) -> None:
    parts = urlsplit(database_url)
    stranger = parts._replace(netloc=f"{parts.username}:guessed@{parts.hostname}:{parts.port}")
    for url in (stranger.geturl(), parts._replace(path="/not_made_yet").geturl()):
        async with db.pool(url, "any", size=1) as pool:
            with pytest.raises(Unavailable):
                await db.ping(pool)


@pytest.mark.parametrize(
    "code",
    [
        "42501",  # a right that was not granted, or is no more
        "58030",  # a disk that gives an error
        "XX001",  # a page that is not what was written
    ],
)
async def test_a_postgres_that_somebody_has_to_mend_is_waited_for(
    database_url: str, code: str
) -> None:
    async with db.pool(database_url, "app", size=1) as pool:
        with pytest.raises(Unavailable), db.errors():
            await pool.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")


async def test_who_waits_for_a_user_waits_no_longer_than_is_said(database_url: str) -> None:
    began = time.monotonic()
    async with db.pool(database_url, "public", size=1, answer_s=0.3) as pool:
        with pytest.raises(Unavailable), db.errors():
            await pool.execute("SELECT pg_sleep(20)")

    assert time.monotonic() - began < db.REQUEST_ANSWER_S


async def test_nor_does_who_stands_behind_others_that_get_no_answer(database_url: str) -> None:
    took: list[float] = []

    async with db.pool(database_url, "public", size=1, answer_s=0.5) as pool:

        async def ask() -> None:
            began = time.monotonic()
            with pytest.raises(Unavailable), db.errors():
                await pool.execute("SELECT pg_sleep(20)")
            took.append(time.monotonic() - began)

        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(ask())

    assert max(took) < 4


async def test_nobody_waits_for_the_last_statement_of_a_lease(database_url: str) -> None:
    async with db.pool(database_url, "app", size=1) as pool:
        other = await db.connect(database_url, "app")
        await other.execute("SELECT pg_advisory_lock(1)")

        async with db.leased(pool, seconds=20, last="SELECT pg_advisory_lock(1)") as conn:
            used = conn.get_server_pid()
        assert pool.get_idle_size() == 0
        await other.execute("SELECT pg_advisory_unlock(1)")

        async with db.leased(pool, seconds=20) as conn:
            assert conn.get_server_pid() == used
            assert await conn.fetchval(HELD, used) == 1
        await other.close()


async def test_a_lease_whose_last_statement_fails_costs_its_connection_only(
    database_url: str,
) -> None:
    async with db.pool(database_url, "app", size=1) as pool:
        last = "SELECT pg_terminate_backend(pg_backend_pid())"
        async with db.leased(pool, seconds=20, last=last) as conn:
            used = conn.get_server_pid()

        async with db.leased(pool, seconds=20) as conn:
            assert conn.get_server_pid() != used


async def test_a_lease_whose_connection_broke_meanwhile_costs_it_only(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = await asyncpg.connect(database_url)
    async with db.pool(database_url, "app", size=1) as pool:
        async with db.leased(pool, seconds=20, last="SELECT 1") as conn:
            used = conn.get_server_pid()
            await other.execute("SELECT pg_terminate_backend($1)", used)
            await until(lambda: _is_the_pools_again(conn))

        async with db.leased(pool, seconds=20) as conn:
            assert conn.get_server_pid() != used
    await other.close()
    gc.collect()

    assert [each.getMessage() for each in caplog.records] == []


async def test_a_connection_that_takes_no_writes_is_not_kept(database_url: str) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    read_only = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    other = await asyncpg.connect(database_url)
    async with db.pool(database_url, "app", size=1) as pool:
        await other.execute(read_only)
        with pytest.raises(Unavailable, match="read-only transaction"), db.errors():
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute("CREATE TABLE public.one (n int)")

        await other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await pool.execute("CREATE TABLE public.one (n int)")
    await other.close()


async def test_an_outage_amid_a_transaction_is_told_by_what_began_it(database_url: str) -> None:
    async with db.pool(database_url, "app", size=1) as pool:
        with pytest.raises(Unavailable, match="terminating connection"), db.errors():
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_what_broke_a_lease_is_what_is_told(database_url: str) -> None:
    other = await asyncpg.connect(database_url)

    async def lease(pool: db.Pool) -> None:
        async with db.leased(pool, seconds=20) as conn:
            await other.execute("SELECT pg_terminate_backend($1)", conn.get_server_pid())
            await until(lambda: _is_the_pools_again(conn))
            raise ZeroDivisionError

    async with db.pool(database_url, "app", size=1) as pool:
        with pytest.raises(ZeroDivisionError):
            await lease(pool)
    await other.close()


async def _is_the_pools_again(conn: db.Connection) -> bool:
    try:
        return conn.is_closed()
    except asyncpg.InterfaceError:
        return True


async def fails(conn: db.Connection) -> None:
    await conn.execute("SELECT 1 / 0")


async def is_cancelled(conn: db.Connection) -> None:
    """In the middle of a statement."""
    async with asyncio.timeout(0.2):
        await conn.execute("SELECT pg_sleep(60)")


async def raises(_: db.Connection) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("use", [fails, is_cancelled, raises])
async def test_whoever_aborts_gives_back_a_clean_connection(
    database_url: str, migrations: Path, use: Callable[[db.Connection], Awaitable[None]]
) -> None:
    """Nothing is undone at its return but the transaction: that must be."""
    aborted = (TimeoutError, ZeroDivisionError, asyncpg.PostgresError)
    await migrating.migrate(database_url, "app", [migrations])
    async with db.pool(database_url, "app", size=1) as pool:
        with contextlib.suppress(*aborted):
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute("SELECT set_config('enable_sort', 'off', true)")
                await conn.execute("SELECT pg_advisory_xact_lock(1)")
                await conn.execute("INSERT INTO one VALUES (2)")
                await use(conn)
        with contextlib.suppress(*aborted):
            async with pool.acquire() as conn:
                await use(conn)

        async with pool.acquire() as conn:
            assert not conn.is_in_transaction()
            assert await conn.fetchval("SHOW enable_sort") == "on"
            assert await conn.fetchval("SHOW search_path") == "app,public"
            assert await conn.fetchval(HELD, conn.get_server_pid()) == 0
            assert await conn.fetchval("SELECT sum(n) FROM one") == 1


async def test_a_postgres_that_falls_silent_is_an_outage_and_its_connection_is_cut(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "ANSWER_S", 3.0)
    await migrating.migrate(database_url, "app", [])
    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), "app", size=1) as pool,
    ):

        async def use() -> None:
            with db.errors():
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute("SELECT 1")
                    await link.turn(Weather.HALF_OPEN)
                    await conn.execute("SELECT 1")

        with pytest.raises(Unavailable, match="no answer in time"):
            await use()
        await link.turn(Weather.FAIR)

        assert await pool.fetchval("SELECT 1") == 1


class Hushed(proxy.Proxy):
    """Falls silent, once, at a message."""

    was_silent = False

    async def _heard(self, chunk: bytes) -> None:
        if self._is_it(chunk) and not self.was_silent:
            self.was_silent = True
            await self.turn(Weather.HALF_OPEN)

    def _is_it(self, chunk: bytes) -> bool:
        raise NotImplementedError


class Undoing(Hushed):
    """As the driver closes a statement that left its cache."""

    def _is_it(self, chunk: bytes) -> bool:
        return chunk[5:].startswith(b"S__asyncpg_stmt")


async def test_nor_is_one_waited_for_that_falls_silent_as_a_statement_is_closed(
    database_url: str,
) -> None:
    async with (
        proxy.before(database_url, Undoing) as link,
        db.pool(proxy.through(database_url, link), "public", size=1, answer_s=1.0) as pool,
    ):
        asking = asyncio.create_task(pool.execute("SELECT 1 WHERE $1", True))
        done, _ = await asyncio.wait({asking}, timeout=15)
        assert link.was_silent
        assert done
        with pytest.raises(Unavailable, match="no answer in time"), db.errors():
            await asking
        await link.turn(Weather.FAIR)

        assert await pool.fetchval("SELECT 1") == 1


class Overfull(Hushed):
    """As a COPY begins."""

    def _is_it(self, chunk: bytes) -> bool:
        return b"COPY" in chunk


async def test_nor_is_one_waited_for_that_takes_in_no_more_of_a_copy(
    database_url: str, migrations: Path
) -> None:
    await migrating.migrate(database_url, "app", [migrations])
    more_than_buffers_hold = (("x" * 65536,) for _ in range(2000))
    async with (
        proxy.before(database_url, Overfull) as link,
        db.pool(proxy.through(database_url, link), "app", size=1, answer_s=1.0) as pool,
    ):
        await pool.execute("CREATE TABLE words (word text)")
        copying = asyncio.create_task(
            pool.copy_records_to_table("words", records=more_than_buffers_hold)
        )
        done, _ = await asyncio.wait({copying}, timeout=15)
        copying.cancel()
        assert link.was_silent
        assert done
        assert next(more_than_buffers_hold, None), "the server did not take in all of it"
        with pytest.raises(Unavailable, match="no answer in time"), db.errors():
            await copying
        await link.turn(Weather.FAIR)

        assert await pool.fetchval("SELECT count(*) FROM words") == 0


class Preparing(Hushed):
    """As a connection is prepared for its pool."""

    def _is_it(self, chunk: bytes) -> bool:
        return db.ARRAYS.encode() in chunk


@pytest.mark.parametrize("patient", [False, True])
async def test_a_lease_does_not_outlast_its_time_however_silent_the_server_of_its_new_connection(
    database_url: str, patient: bool
) -> None:
    async def lease(pool: db.Pool) -> None:
        async with db.leased(pool, seconds=1.0):
            pass

    async with (
        proxy.before(database_url, Preparing) as link,
        db.pool(proxy.through(database_url, link), "app", size=1, patient=patient) as pool,
    ):
        leasing = asyncio.create_task(lease(pool))
        done, _ = await asyncio.wait({leasing}, timeout=15)
        leasing.cancel()
        assert link.was_silent
        assert done
        with pytest.raises(TimeoutError):
            await leasing
        await link.turn(Weather.FAIR)

        await lease(pool)


class Lingering(proxy.Proxy):
    """Whoever leaves, the other does not hear of it yet."""

    left: asyncio.Event

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(proxy.CHUNK):
            writer.write(chunk)
            await writer.drain()
        self.left.set()
        await asyncio.Event().wait()


async def test_who_asks_a_server_that_has_said_farewell_meets_an_outage(database_url: str) -> None:
    """What it says when it ends arrives before the connection does."""
    async with proxy.before(database_url, Lingering) as link:
        link.left = asyncio.Event()
        conn = await db.connect(proxy.through(database_url, link), "public")
        other = await asyncpg.connect(database_url)
        try:
            await other.execute("SELECT pg_terminate_backend($1)", conn.get_server_pid())
            await link.left.wait()
            await other.execute("SELECT 1")  # by then what it said has been heard

            with pytest.raises(Unavailable), db.errors():
                await conn.fetchval("SELECT 1", timeout=5)
        finally:
            conn.terminate()
            await other.close()

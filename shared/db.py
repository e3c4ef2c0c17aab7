"""Postgres: pools, schemas, and drivers' errors turned into ours.

Rule 1: each service's tables live in a schema of its own, first on the search path, so SQL names
        tables without it and a store can be built beside the live one.
Rule 2: workers commit asynchronously where nobody sees it. Their state and its offset are one
        transaction, so what a crash of Postgres reverts is read from Kafka again. What pages are
        read from, and what is published, is on disk before anyone sees it.
Rule 3: a lost connection is `Unavailable`; a value that Postgres can never accept is `Poison`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy

from shared import background
from shared.connections import Kept, Queued, Stirring
from shared.errors import Poison, Unavailable

Connection: TypeAlias = PoolConnectionProxy | asyncpg.Connection
Pool: TypeAlias = asyncpg.Pool
Heard: TypeAlias = Callable[[LoggedQuery], None]

STATEMENT_TIMEOUT_MS = 30_000
ANSWER_S = 35.0
"""Postgres itself ends a statement before that; if it is silent for so long, it is away. The
cancellation gets as long again, and then the connection is cut."""
REQUEST_ANSWER_S = 8.0
"""The same if a user waits: better told soon that something is unavailable than never."""
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
KEEP_PLANS_S = 300
PING_S = 2.0
# What a frozen or disconnected client leaves behind holds locks that everyone else waits for: the
# server ends it. By default TCP would take two hours.
ABANDONED = {
    "idle_in_transaction_session_timeout": "8000",
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# If used between the server's farewell and the end of the connection, the driver blames itself.
ITSELF = (asyncpg.InterfaceError, asyncpg.InternalClientError)
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    *ITSELF,
    asyncpg.OperatorInterventionError,  # shutdown, crash, cancelled statement
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, lock table full
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was frozen within a transaction
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over in progress
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that was changed only there
    asyncpg.InvalidCatalogNameError,  # the database does not exist yet
    asyncpg.InsufficientPrivilegeError,  # a privilege is not granted yet
    asyncpg.PostgresSystemError,  # a disk error on the server
    asyncpg.InternalServerError,  # or corrupted data there
)
REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,  # too long for an index, nested too deep
)


@contextmanager
def errors() -> Iterator[None]:
    """Turn the driver's errors into `Poison` and `Unavailable`; bugs pass unchanged."""
    try:
        yield
    except REFUSALS as error:  # before the outages: some client-side DataErrors are both
        raise Poison(f"Postgres refuses the value: {type(error).__name__}: {error}") from error
    except OUTAGES as error:
        first = _first(error)
        raise Unavailable(f"Postgres: {_told(first)}") from error


def _first(error: BaseException) -> BaseException:
    """The original error, where the driver then failed to end the transaction and reported
    only that.
    """
    before = error.__context__
    while isinstance(error, ITSELF) and isinstance(before, OUTAGES):
        error, before = before, before.__context__
    return error


def _told(error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}"
    return "no answer in time" if isinstance(error, TimeoutError) and not str(error) else said


# The driver looks up each array type when a statement first uses it, again on every connection.
# Looking up all at once costs a sixth.
ARRAYS = "SELECT {}".format(
    ", ".join(
        f"NULL::{kind}[]"
        for kind in (
            "bigint", "int", "smallint", "bytea", "uuid", "boolean", "timestamptz", "date", "jsonb"
        )
    )
)  # fmt: skip


async def _prepare(conn: asyncpg.Connection) -> None:
    """A connection that cannot be prepared is cut: the pool would close it, and so wait for a
    silent server beyond the time of whoever leases it.
    """
    try:
        await conn.fetchrow(ARRAYS)
        await conn.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda value: b"\x01" + orjson.dumps(value),
            decoder=lambda raw: orjson.loads(raw[1:]),
            format="binary",
        )
    except BaseException:
        conn.terminate()
        raise


@asynccontextmanager
async def pool(
    dsn: str,
    schema: str,
    *,
    size: int,
    durable: bool = True,
    patient: bool = False,
    answer_s: float | None = None,
    heard: Heard | None = None,
    planner: Mapping[str, str] | None = None,
) -> AsyncIterator[Pool]:
    """A pool whose connections see `schema` first. It connects on first use, and is closed when
    the block ends, by force if a connection is not returned.

    `durable=False` lets commits return before they are on disk (rule 2). `patient=True` waits for
    an answer as long as it takes; others wait for `answer_s`, by default `ANSWER_S`, and as long
    again for a cancellation. If `answer_s` is given, nobody queues for a connection for longer
    either: behind requests that get no answer the wait would multiply.
    `heard` is called for each statement after it has run. `planner` are Postgres settings that
    change how this pool's statements are planned.
    """

    async def prepare(conn: asyncpg.Connection) -> None:
        await _prepare(conn)
        if heard is not None:
            conn.add_query_logger(heard)

    made = await Queued(
        dsn,
        longest_s=answer_s,
        min_size=0,
        max_size=size,
        connection_class=Kept,
        init=prepare,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=None if patient else answer_s or ANSWER_S,
        max_cached_statement_lifetime=KEEP_PLANS_S,
        server_settings={
            "search_path": f"{schema},public",
            "application_name": f"my500-{schema}",
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "synchronous_commit": "on" if durable else "off",
            "jit": "off",  # compiling costs more than any statement here runs
            # Every statement uses keys: a table that looks small must not be scanned.
            "enable_seqscan": "off",
            # And one plan serves all parameters. A custom plan for a tenant or user newer than the
            # last ANALYZE assumes no rows, and any index to do: among 100,000 organizations of a
            # new tenant autocomplete then took half a minute.
            "plan_cache_mode": "force_generic_plan",
            **(planner or {}),
            **ABANDONED,
        },
    )
    try:
        yield made
    finally:
        await _close(made)


@asynccontextmanager
async def pools(dsn: str, schema: str, *, size: int) -> AsyncIterator[tuple[Pool, Pool]]:
    """A worker's store: a pool for statements that users wait for, and one for the work."""
    async with (
        pool(dsn, schema, size=size, durable=False, answer_s=REQUEST_ANSWER_S) as asked,
        pool(dsn, schema, size=size, durable=False) as working,
    ):
        yield asked, working


async def _close(pool: Pool) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except (TimeoutError, *OUTAGES):
        pool.terminate()


async def connect(dsn: str, schema: str, *, patient: bool = False) -> asyncpg.Connection:
    """A separate connection, outside the pool; `patient` as there."""
    with errors():
        conn: asyncpg.Connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            connection_class=Stirring,
            command_timeout=None if patient else ANSWER_S,
            server_settings={
                "search_path": f"{schema},public",
                "application_name": f"my500-{schema}-own",
                "synchronous_commit": "off",
                **ABANDONED,
            },
        )
        await _prepare(conn)
        return conn


@asynccontextmanager
async def leased(
    pool: Pool, *, seconds: float, last: str | None = None
) -> AsyncIterator[Connection]:
    """A connection for a limited time. It is cut if its use failed: a silent server would make
    returning it wait for ever.

    `last` is a statement for when the block has ended well. Nobody waits for it, or learns whether
    it worked: it costs a round trip, and what was read is known by then.
    """
    async with asyncio.timeout(seconds):
        conn = await pool.acquire()
        try:
            yield conn
        except BaseException:
            await _cut(pool, conn)
            raise
        if last is None:
            await pool.release(conn)
            return
    background.start(_end(pool, conn, last, seconds))


async def _end(pool: Pool, conn: PoolConnectionProxy, last: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await conn.execute(last)
    except OUTAGES:
        await _cut(pool, conn)
    else:
        await pool.release(conn)


async def _cut(pool: Pool, conn: PoolConnectionProxy) -> None:
    with suppress(asyncpg.InterfaceError):  # it broke by itself, and is back in the pool
        conn.terminate()
    await pool.release(conn)


@contextmanager
def own(conn: Connection) -> Iterator[None]:
    """As `errors`, for a separate connection: it is cut if its use failed, so that nobody waits
    for it again.
    """
    try:
        with errors():
            yield
    except Unavailable:
        conn.terminate()
        raise


async def ping(pool: Pool) -> None:
    """Raises:
    Unavailable: Postgres does not answer.
    """
    with errors():
        async with leased(pool, seconds=PING_S) as conn:
            await conn.fetchval("SELECT 1")


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into the arrays that `unnest` takes, even if there are none."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]


def array(numbers: Iterable[int]) -> str:
    """An array as text: arrays of arrays do not unnest into rows, texts do. And the driver checks
    each element of an array for being one, which is costly with thousands of them.
    """
    return "{" + ",".join(map(str, numbers)) + "}"

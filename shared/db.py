"""Postgres: pools, schemas, and drivers' errors turned into ours.

Rule 1: each service's tables live in a schema of its own, first on the search path, so SQL names
        tables alone and a store can be built beside the live one.
Rule 2: workers commit asynchronously where nobody sees it. Their state and the offset it rests on
        are one transaction, so what a crash of Postgres takes back is read from Kafka again. What
        pages are read from, and what others are told, is on disk before anyone sees it.
Rule 3: a connection that is away is `Unavailable`; a value Postgres can never take is `Poison`.
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
from shared.connections import Kept, Stirring
from shared.errors import Poison, Unavailable

Connection: TypeAlias = PoolConnectionProxy | asyncpg.Connection
Pool: TypeAlias = asyncpg.Pool
Heard: TypeAlias = Callable[[LoggedQuery], None]

STATEMENT_TIMEOUT_MS = 30_000
ANSWER_S = 35.0
"""Postgres itself ends a statement before that; one that is silent for so long is away. Asked to
cancel, it is given as long once more, and then the connection is cut."""
REQUEST_ANSWER_S = 8.0
"""The same where a user waits: rather told soon that a part is away than not at all."""
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
KEEP_PLANS_S = 300
PING_S = 2.0
# What a client that was frozen, or whose network is gone, leaves behind holds locks that everyone
# else waits for: the server ends it. Without these it would take TCP two hours.
ABANDONED = {
    "idle_in_transaction_session_timeout": "8000",
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# Asked between the server's farewell and the end of the connection, the driver blames itself.
ITSELF = (asyncpg.InterfaceError, asyncpg.InternalClientError)
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    *ITSELF,
    asyncpg.OperatorInterventionError,  # shutdown, crash, cancelled statement
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, lock table full
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was frozen in the middle
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over in progress
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that was changed there, not here
    asyncpg.InvalidCatalogNameError,  # nor is the database there yet
    asyncpg.InsufficientPrivilegeError,  # nor a right granted
    asyncpg.PostgresSystemError,  # its disk gives an error
    asyncpg.InternalServerError,  # or something else than was written
)
REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,  # too long for an index, nested too deep
)


@contextmanager
def errors() -> Iterator[None]:
    """Turn the driver's errors into `Poison` and `Unavailable`; bugs pass as they are."""
    try:
        yield
    except REFUSALS as error:  # before the outages: some client-side DataErrors are both
        raise Poison(f"Postgres refuses the value: {type(error).__name__}: {error}") from error
    except OUTAGES as error:
        first = _first(error)
        raise Unavailable(f"Postgres: {_told(first)}") from error


def _first(error: BaseException) -> BaseException:
    """What went wrong before the driver could not end the transaction and said only that."""
    before = error.__context__
    while isinstance(error, ITSELF) and isinstance(before, OUTAGES):
        error, before = before, before.__context__
    return error


def _told(error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}"
    return "no answer in time" if isinstance(error, TimeoutError) and not str(error) else said


# The driver asks the server about each kind of array when a statement first has it, on every
# connection anew. Asked about all at once it costs a sixth.
ARRAYS = "SELECT {}".format(
    ", ".join(
        f"NULL::{kind}[]"
        for kind in (
            "bigint", "int", "smallint", "bytea", "uuid", "boolean", "timestamptz", "date", "jsonb"
        )
    )
)  # fmt: skip


async def _prepare(conn: asyncpg.Connection) -> None:
    await conn.fetchrow(ARRAYS)
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda raw: orjson.loads(raw[1:]),
        format="binary",
    )


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
    """A pool whose connections see `schema` first. Connects when first used, and is closed when
    the block ends, by force if somebody does not give a connection back.

    `durable=False` lets commits return before they are on disk (rule 2). `patient=True` waits for
    an answer as long as it takes; others wait for `answer_s`, `ANSWER_S` if nothing is said, and
    as long again for what they asked to be given up.
    `heard` is told of each statement after it has run. `planner` are Postgres' settings by which
    the statements of this pool are planned otherwise than those of others.
    """

    async def prepare(conn: asyncpg.Connection) -> None:
        await _prepare(conn)
        if heard is not None:
            conn.add_query_logger(heard)

    made = await asyncpg.create_pool(
        dsn,
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
            # Every statement goes by keys: a table that looks small is not read whole.
            "enable_seqscan": "off",
            # And one plan does for all parameters. A plan for a tenant or user who came since the
            # table was analyzed takes them to have no rows, and any index to do: among 100,000
            # organizations of a new tenant autocomplete took half a minute then.
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
    """A worker's store: a pool for those whose user waits, and one for the work."""
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
    """A connection of one's own, outside the pool; `patient` as there."""
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
    """A connection for so long. One whose use failed is cut: a server that is silent would let
    whoever gives it back wait for its answer, without end.

    `last` is a statement for when the block has ended well. Nobody waits for it, nor hears whether
    it went well: it costs a round trip, and what was read is known by then.
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
    with suppress(asyncpg.InterfaceError):  # it broke by itself, and is the pool's again
        conn.terminate()
    await pool.release(conn)


@contextmanager
def own(conn: Connection) -> Iterator[None]:
    """As `errors`, of a connection of one's own: one whose use failed is cut, so that nobody waits
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
    """Rows turned into the arrays that `unnest` takes, also when there are none."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]


def array(numbers: Iterable[int]) -> str:
    """An array as text: arrays of arrays do not unnest into rows, texts do. And the driver asks of
    each element of an array whether it is one, which is dear where there are thousands.
    """
    return "{" + ",".join(map(str, numbers)) + "}"

"""Postgres: pools, schemas, migrations, locks, and drivers' errors turned into ours.

Rule 1: each service's tables live in a schema of its own, first on the search path, so SQL names
        tables alone and a store can be built beside the live one.
Rule 2: workers commit asynchronously where nobody sees it. Their state and the offset it rests on
        are one transaction, so what a crash of Postgres takes back is read from Kafka again. What
        pages are read from, and what others are told, is on disk before anyone sees it.
Rule 3: a connection that is away is `Unavailable`; a value Postgres can never take is `Poison`.
"""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy

from shared import background, heart
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
CLOSE_TIMEOUT_S = 5.0
MIGRATION_S = 3600.0
"""How long a file of a migration may take."""
LOCK_LOOK_S = 0.2
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
SETTINGS_LOCK = 0x6D79353030  # "my500": one migration at a time in a database

OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # Asked between the server's farewell and the end of the connection, the driver blames itself.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, cancelled statement
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, lock table full
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was frozen in the middle
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over in progress
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that was changed there, not here
    asyncpg.InvalidCatalogNameError,  # nor is the database there yet
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
        raise Unavailable(f"Postgres: {type(error).__name__}: {error}") from error


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
            conn.terminate()
            await pool.release(conn)
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
        conn.terminate()
    finally:
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


async def migrate(dsn: str, schema: str, folders: Sequence[Path]) -> None:
    """Bring a schema up to date from plain SQL files; safe when many start at once.

    Files run in the order of their names, each in a transaction. A file that has run and was
    edited afterwards is refused. Who waits for another's migration asks again and again, so that
    a Postgres that fell silent meanwhile is noticed.

    Raises:
        Unavailable: Postgres is away.
        ValueError: a file that has run was edited.
    """
    files = sorted((f for folder in folders for f in folder.glob("*.sql")), key=lambda f: f.name)
    with errors():
        conn = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_S,
            server_settings={"application_name": f"my500-{schema}-migration", **ABANDONED},
        )
        try:
            while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", SETTINGS_LOCK):
                heart.beat()
                await asyncio.sleep(LOCK_LOOK_S)
            await conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await conn.execute(f'SET search_path = "{schema}", public')
            await conn.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(name text PRIMARY KEY, digest text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
            await _run_missing(conn, files)
        finally:
            await conn.close(timeout=CLOSE_TIMEOUT_S)


async def _run_missing(conn: asyncpg.Connection, files: Iterable[Path]) -> None:
    rows = await conn.fetch("SELECT name, digest FROM schema_migrations")
    done = {row["name"]: row["digest"] for row in rows}
    for file in files:
        sql = file.read_text()
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if file.name in done:
            if done[file.name] != digest:
                raise ValueError(f"migration {file.name} was edited after it had run")
            continue
        heart.beat(MIGRATION_S)
        async with conn.transaction():
            await conn.execute(sql, timeout=MIGRATION_S)
            await conn.execute(
                "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)", file.name, digest
            )
        heart.beat()


# The schema is part of the name: a store built beside the live one waits for no lock of it. It is
# looked up once, not for each key, and one row comes back; arrays are unnested in their order.
LOCK = """
SELECT count(CASE WHEN shared
                  THEN pg_advisory_xact_lock_shared(keys.space # own.space, key)::text
                  ELSE pg_advisory_xact_lock(keys.space # own.space, key)::text END)
  FROM (SELECT hashtext(current_schema()) AS space OFFSET 0) AS own
 CROSS JOIN unnest($1::int[], $2::int[], $3::boolean[]) AS keys (space, key, shared)
"""

TRY_LOCK = """
SELECT bool_and(pg_try_advisory_xact_lock(own.space, key))
  FROM (SELECT $1::int # hashtext(current_schema()) AS space OFFSET 0) AS own
 CROSS JOIN unnest($2::int[]) AS keys (key)
"""


async def lock(
    conn: Connection, space: int, names: Iterable[object], *, shared: Iterable[object] = ()
) -> None:
    """Hold what `names` name until the transaction ends, whether rows for it exist or not.
    What `shared` names is held beside others who share it, and against those who do not.

    Everyone takes the locks in one order, so two batches wait for one another and never deadlock.
    Two names may share a lock; that costs a wait, no more.
    """
    alone = _lock_keys(names)
    keys = sorted(
        [(key, False) for key in alone] + [(k, True) for k in _lock_keys(shared) - alone]
    )
    await _lock(conn, [(space, *key) for key in keys])


async def lock_all(
    conn: Connection,
    spaces: Mapping[int, Iterable[object]],
    *,
    shared: Mapping[int, Iterable[object]] | None = None,
) -> None:
    """What is named in several spaces, one after the other; what is shared, before the rest."""
    keys = [
        (space, key, is_shared)
        for named, is_shared in ((shared or {}, True), (spaces, False))
        for space, names in named.items()
        for key in sorted(_lock_keys(names))
    ]
    await _lock(conn, keys)


async def try_lock(conn: Connection, space: int, names: Iterable[object]) -> bool:
    """As `lock`, but without waiting, and so in any order. False when others hold some of them;
    the rest is held all the same.
    """
    keys = sorted(_lock_keys(names))
    return not keys or bool(await conn.fetchval(TRY_LOCK, space, keys))


async def _lock(conn: Connection, keys: Sequence[tuple[int, int, bool]]) -> None:
    if keys:
        await conn.execute(LOCK, *columns(keys, 3))


def _lock_keys(names: Iterable[object]) -> set[int]:
    return {zlib.crc32(repr(name).encode()) - 2**31 for name in names}


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

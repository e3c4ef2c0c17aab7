"""SQL of the synchronisations and of the companies they are for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from services.ingest.sync.steps import Mode
from shared.db import Connection

KEPT_DAYS: Final = 30

COLUMNS = """
id, company_id, mode, cause, state, since, behind, mark, counts, errors, tokens, reason, due_at,
created_at, started_at, finished_at
"""

OF_SYNCS = ", ".join(f"syncs.{name.strip()}" for name in COLUMNS.split(","))

CONNECT = "INSERT INTO connections (company_id) VALUES ($1) ON CONFLICT DO NOTHING"

ASK = """
INSERT INTO syncs (company_id, mode, cause)
VALUES ($1, $2, $3)
    ON CONFLICT (company_id) WHERE finished_at IS NULL DO NOTHING
RETURNING id
"""

UNFINISHED = "SELECT id FROM syncs WHERE company_id = $1 AND finished_at IS NULL"

FULL_DUE = """
UPDATE connections
   SET full_due = now()
  FROM syncs
 WHERE connections.company_id = $1 AND syncs.id = $2 AND syncs.mode = 'incremental'
"""

# Companies that are due; a full sync includes all that an incremental one would do. An
# unfinished sync is looked up for each company: a join that was planned while few syncs were
# unfinished compares each with each.
DUE = """
SELECT company_id, coalesce(full_due <= now(), false), coalesce(incremental_due <= now(), false)
  FROM connections
 WHERE (incremental_due <= now() OR full_due <= now())
   AND (SELECT id
          FROM syncs
         WHERE syncs.company_id = connections.company_id AND finished_at IS NULL) IS NULL
 ORDER BY full_due
"""

WAITING = """
SELECT company_id, id, mode = 'full' OR coalesce(syncs.since, connections.since) IS NULL
  FROM syncs
  LEFT JOIN connections USING (company_id)
 WHERE finished_at IS NULL AND due_at <= now()
 ORDER BY due_at
"""

ONE = f"SELECT {COLUMNS} FROM syncs WHERE company_id = $1 AND id = $2"  # noqa: S608  constant

NEWEST = f"SELECT {COLUMNS} FROM syncs WHERE company_id = $1 ORDER BY created_at DESC LIMIT $2"  # noqa: S608  constant

# Only the newest one counts: the rest would be published as of an earlier time.
TAKE_OVER = """
UPDATE syncs
   SET mark = held.mark - 'held', counts = held.counts, errors = held.errors,
       started_at = held.started_at, mended_at = held.mended_at
  FROM connections,
       LATERAL (SELECT *
                  FROM syncs
                 WHERE company_id = connections.company_id AND id <> $1
                 ORDER BY created_at DESC
                 LIMIT 1) AS held
 WHERE syncs.id = $1 AND syncs.started_at IS NULL
   AND connections.company_id = syncs.company_id
   AND (syncs.mode = 'full' OR connections.since IS NULL)
   AND (held.mode = 'full' OR held.since IS NULL)
   AND held.state = 'failed' AND held.mark ? 'held'
RETURNING held.id
"""

TAKE_SUSPECTS = "UPDATE suspects SET sync_id = $1 WHERE sync_id = $2"

TAKE_WALKED = "UPDATE walked SET sync_id = $1 WHERE sync_id = $2"

START = f"""
UPDATE syncs
   SET state = 'running', reason = NULL, started_at = coalesce(started_at, clock_timestamp()),
       since = coalesce(syncs.since, connections.since),
       behind = coalesce(syncs.behind, connections.behind),
       mended_at = CASE WHEN syncs.started_at IS NULL
                        THEN connections.mended_at ELSE syncs.mended_at END
  FROM connections
 WHERE syncs.id = $1 AND syncs.finished_at IS NULL
   AND connections.company_id = syncs.company_id
RETURNING {OF_SYNCS}
"""  # noqa: S608  constant

ADVANCE = """
UPDATE syncs SET mark = $2, counts = $3, errors = $4, tokens = $5 WHERE id = $1
"""

WAIT = "UPDATE syncs SET state = 'waiting', reason = $2, due_at = $3 WHERE id = $1"

END = """
UPDATE syncs SET state = $2, reason = $3, finished_at = clock_timestamp() WHERE id = $1
RETURNING finished_at
"""

# The next delta begins where this sync did: later changes may have been missed. Where the webhook
# was registered again meanwhile, it begins at the start of that gap, and at once.
COMPLETED = """
UPDATE connections
   SET since = CASE WHEN connections.mended_at IS DISTINCT FROM syncs.mended_at
                    THEN least(connections.since, $3) ELSE $3 END,
       behind = $4,
       incremental_due = CASE WHEN connections.mended_at IS DISTINCT FROM syncs.mended_at
                              THEN now() ELSE $5 END,
       full_due = coalesce($6, full_due)
  FROM syncs
 WHERE connections.company_id = $1 AND syncs.id = $2
"""

# Only a sync that read everything in full counts as the nightly one.
POSTPONE = """
UPDATE connections
   SET incremental_due = CASE WHEN syncs.started_at IS NOT NULL
                               AND connections.mended_at IS DISTINCT FROM syncs.mended_at
                              THEN now() ELSE $3 END,
       full_due = CASE WHEN full_due <= now() AND (syncs.mode = 'full' OR syncs.since IS NULL)
                       THEN full_due + interval '1 day' ELSE full_due END
  FROM syncs
 WHERE connections.company_id = $1 AND syncs.id = $2
"""

# In the last sync that tried the list.
WAS_REFUSED = """
SELECT errors @> jsonb_build_array(jsonb_build_object('list', $2::text, 'id', ''))
  FROM syncs
 WHERE company_id = $1 AND state = 'done' AND counts ? $2
 ORDER BY created_at DESC
 LIMIT 1
"""

LAST_COMPLETED = """
SELECT max(finished_at) FROM syncs WHERE company_id = $1 AND state = 'done'
"""

# The company's. The last successful and the last failed one stay, so that the time of the last
# success can be shown for as long as syncs fail. By creation time, which is indexed.
FORGET = """
DELETE FROM syncs AS old
 WHERE company_id = (SELECT company_id FROM syncs WHERE id = $1)
   AND created_at < now() - make_interval(days => $2)
   AND finished_at < now() - make_interval(days => $2)
   AND EXISTS (SELECT FROM syncs AS newer
                WHERE newer.company_id = old.company_id AND newer.state = old.state
                  AND newer.finished_at > old.finished_at)
"""


@dataclass(frozen=True, slots=True)
class Sync:
    """As stored in its row."""

    id: UUID
    company_id: int
    mode: Mode
    cause: str
    state: str
    since: datetime | None
    behind: dict[str, str] | None
    mark: dict[str, Any]
    counts: dict[str, dict[str, int]]
    errors: list[dict[str, str]]
    tokens: int
    reason: str | None
    due_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def reads(self) -> Mode:
        """A company that was never read in full is, whatever was requested."""
        return Mode.FULL if self.since is None else self.mode


class Due(NamedTuple):
    """A company, and whether it is due in full, and incrementally."""

    company_id: int
    in_full: bool
    what_changed: bool


class Waiting(NamedTuple):
    """The fields of a sync that decide which is next."""

    company_id: int
    sync_id: UUID
    reads_all: bool


def _sync(row: asyncpg.Record) -> Sync:
    return Sync(**{**dict(row), "id": _plain(row["id"]), "mode": Mode(row["mode"])})


def _plain(found: UUID) -> UUID:
    """A standard UUID; the driver's own kind is not JSON-serializable."""
    return UUID(int=found.int)


async def ask(conn: Connection, company_id: int, mode: Mode, cause: str) -> tuple[UUID, bool]:
    """The sync that does it, and whether it is a new one: at most one is unfinished."""
    await conn.execute(CONNECT, company_id)
    while True:
        made = await conn.fetchval(ASK, company_id, mode.value, cause)
        if made is not None:
            return _plain(made), True
        held = await conn.fetchval(UNFINISHED, company_id)
        if held is not None:  # else it has just ended
            return _plain(held), False


async def make_full_due(conn: Connection, company_id: int, open_id: UUID) -> None:
    """A full sync is to follow the unfinished one, unless that is full itself."""
    await conn.execute(FULL_DUE, company_id, open_id)


async def due(conn: Connection) -> list[Due]:
    return [Due(*row) for row in await conn.fetch(DUE)]


async def waiting(conn: Connection) -> list[Waiting]:
    """Unfinished syncs that are due, whether or not a process works on them."""
    return [Waiting(*row) for row in await conn.fetch(WAITING)]


async def one(conn: Connection, company_id: int, sync_id: UUID) -> Sync | None:
    row = await conn.fetchrow(ONE, company_id, sync_id)
    return None if row is None else _sync(row)


async def newest(conn: Connection, company_id: int, limit: int) -> list[Sync]:
    return [_sync(row) for row in await conn.fetch(NEWEST, company_id, limit)]


async def take_over(conn: Connection, sync_id: UUID) -> None:
    """Resume, at the start, where the previous full sync was held (see `Progress.hold`)."""
    held = await conn.fetchval(TAKE_OVER, sync_id)
    if held is not None:
        await conn.execute(TAKE_SUSPECTS, sync_id, held)
        await conn.execute(TAKE_WALKED, sync_id, held)


async def start(conn: Connection, sync_id: UUID) -> Sync | None:
    """The sync as stored, now running; null if it is finished."""
    row = await conn.fetchrow(START, sync_id)
    return None if row is None else _sync(row)


async def advance(conn: Connection, sync: Sync) -> None:
    await conn.execute(ADVANCE, sync.id, sync.mark, sync.counts, sync.errors, sync.tokens)


async def wait(conn: Connection, sync_id: UUID, reason: str, until: datetime) -> None:
    await conn.execute(WAIT, sync_id, reason, until)


async def end(conn: Connection, sync_id: UUID, state: str, reason: str | None) -> datetime:
    """Also drops what ended long ago: a company may fail for ever."""
    ended: datetime = await conn.fetchval(END, sync_id, state, reason)
    await conn.execute(FORGET, sync_id, KEPT_DAYS)
    return ended


async def completed(
    conn: Connection,
    sync: Sync,
    *,
    since: datetime,
    behind: dict[str, str],
    incremental_due: datetime,
    full_due: datetime | None,
) -> None:
    whose = sync.company_id, sync.id
    await conn.execute(COMPLETED, *whose, since, behind, incremental_due, full_due)


async def postpone(conn: Connection, company_id: int, failed_id: UUID, until: datetime) -> None:
    """After a failure, which the next scheduled try need not repeat at once, unless the webhook
    was registered again meanwhile.
    """
    await conn.execute(POSTPONE, company_id, failed_id, until)


async def was_refused(conn: Connection, sync: Sync, in_list: str) -> bool:
    """Whether the last sync of the company that tried a list could not read it."""
    return bool(await conn.fetchval(WAS_REFUSED, sync.company_id, in_list))


async def last_completed(conn: Connection, company_id: int) -> datetime | None:
    found: datetime | None = await conn.fetchval(LAST_COMPLETED, company_id)
    return found

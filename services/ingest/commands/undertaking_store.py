"""SQL of what is to be created in Pipedrive once.

Rule: before Pipedrive is called, the row records it; it is cleared when Pipedrive answers that
nothing was created. A row that records a call but no id is of unknown outcome.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from shared import db

KEPT: Final = timedelta(hours=24)

TAKE = """
INSERT INTO undertakings AS held (company_id, kind, name, working_until, asked)
VALUES ($1, $2, $3, now() + $4::interval, $5)
    ON CONFLICT (company_id, kind, name) DO UPDATE
   SET working_until = EXCLUDED.working_until
 WHERE held.working_until < now() OR held.pipedrive_id IS NOT NULL
RETURNING begun_at, first_sent_at, sent_at, row, asked
"""

SENT = """
UPDATE undertakings
   SET first_sent_at = coalesce(first_sent_at, $4), sent_at = $4
 WHERE company_id = $1 AND kind = $2 AND name = $3
"""

MADE = """
UPDATE undertakings
   SET pipedrive_id = $4, row = $5, working_until = '-infinity'
 WHERE company_id = $1 AND kind = $2 AND name = $3
"""

LET_GO = """
UPDATE undertakings
   SET working_until = '-infinity'
 WHERE company_id = $1 AND kind = $2 AND name = $3
"""

DROP = """
DELETE FROM undertakings
 WHERE company_id = $1 AND kind = $2 AND name = $3
"""

DROP_STALE = """
DELETE FROM undertakings
 WHERE company_id = $1 AND kind = $2 AND name = $3 AND begun_at = $4
"""

FORGET_ROW = """
DELETE FROM undertakings
 WHERE company_id = $1 AND kind = $2 AND pipedrive_id = $3
"""

FORGET_ALL = "DELETE FROM undertakings WHERE begun_at < now() - $1::interval"


@dataclass(frozen=True, slots=True)
class Undertaking:
    """`kind` is an entity of Pipedrive's; `name` says what it is created for. `asked` is a digest
    of the request, null if any request may use it.
    """

    company_id: int
    kind: str
    name: str
    asked: bytes | None = None


@dataclass(frozen=True, slots=True)
class Held:
    begun_at: datetime
    first_sent_at: datetime | None
    sent_at: datetime | None
    row: dict[str, Any] | None
    asked: bytes | None

    def is_for_another(self, it: Undertaking) -> bool:
        """It was created for a request under the same name that wanted something else."""
        return self.asked is not None and self.asked != it.asked


def name(user_id: int, key: str) -> str:
    """Name for what is created for a user's request of this key."""
    return f"{user_id}:{key}"


async def take(conn: db.Connection | db.Pool, it: Undertaking, longest: timedelta) -> Held | None:
    """Its state; the caller holds it for so long, unless it is done. Null while another request
    holds it.
    """
    found = await conn.fetchrow(TAKE, it.company_id, it.kind, it.name, longest, it.asked)
    return None if found is None else Held(*found)


async def sent(conn: db.Connection | db.Pool, it: Undertaking, at: datetime) -> None:
    """Note that Pipedrive is about to be called."""
    await conn.execute(SENT, it.company_id, it.kind, it.name, at)


async def made(
    conn: db.Connection | db.Pool, it: Undertaking, row_id: int, row: dict[str, Any]
) -> bool:
    """False if another undertaking already has this row."""
    try:
        await conn.execute(MADE, it.company_id, it.kind, it.name, row_id, row)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def let_go(conn: db.Connection | db.Pool, it: Undertaking) -> None:
    await conn.execute(LET_GO, it.company_id, it.kind, it.name)


async def drop(conn: db.Connection | db.Pool, it: Undertaking) -> None:
    """It was not created, and nobody will look for it."""
    await conn.execute(DROP, it.company_id, it.kind, it.name)


async def drop_stale(conn: db.Connection | db.Pool, it: Undertaking, held: Held) -> None:
    """Unless somebody has already started again."""
    await conn.execute(DROP_STALE, it.company_id, it.kind, it.name, held.begun_at)


async def forget_row(
    conn: db.Connection | db.Pool, company_id: int, kind: str, row_id: int
) -> None:
    """Pipedrive has deleted the row: what it was created for may be created again."""
    await conn.execute(FORGET_ROW, company_id, kind, row_id)


async def forget(conn: db.Connection | db.Pool) -> None:
    await conn.execute(FORGET_ALL, KEPT)

"""SQL of the commands: who asked for what, under which key, and what the answer was.

Rule 1: of concurrent requests under one key, one works and the others are told that it does. It
        holds the command for a limited time, after which another may take it over, so a crash
        blocks nobody for long.
Rule 2: an answer is kept for a day. A refusal is not: nothing was done, and the key is free again,
        unless Pipedrive was called in an earlier try: then something may have been done all the
        same, and the next try continues it.
Rule 3: a request without a key that equals an unanswered command of the same user continues that
        command, which may have been carried out. A command in progress cannot be told from one
        whose process has just died, so in either case the second request waits.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.ingest.commands import undertaking_store
from shared import db

KEPT: Final = timedelta(hours=24)
WORKING: Final = timedelta(seconds=45)

FORGET = """
DELETE FROM commands
 WHERE company_id = $1 AND user_id = $2 AND key = $3 AND asked_at < now() - $4::interval
"""

BEGIN = """
INSERT INTO commands AS held (company_id, user_id, key, asked, working_until)
VALUES ($1, $2, $3, $4, now() + $5::interval)
    ON CONFLICT (company_id, user_id, key) DO UPDATE
   SET working_until = EXCLUDED.working_until
 WHERE held.asked = EXCLUDED.asked AND held.status IS NULL AND held.working_until < now()
RETURNING key
"""

HELD = """
SELECT asked, status, answer
  FROM commands
 WHERE company_id = $1 AND user_id = $2 AND key = $3
"""

UNANSWERED = """
SELECT key
  FROM commands
 WHERE company_id = $1 AND user_id = $2 AND asked = $3 AND status IS NULL
   AND asked_at > now() - $4::interval
 ORDER BY asked_at
 LIMIT 1
"""

ANSWER = """
UPDATE commands
   SET status = $4, answer = $5
 WHERE company_id = $1 AND user_id = $2 AND key = $3
"""

LET_GO = """
UPDATE commands
   SET working_until = '-infinity'
 WHERE company_id = $1 AND user_id = $2 AND key = $3 AND status IS NULL
"""

DROP = """
DELETE FROM commands
 WHERE company_id = $1 AND user_id = $2 AND key = $3 AND status IS NULL
   AND NOT EXISTS (SELECT FROM undertakings
                    WHERE company_id = $1 AND name = $4 AND first_sent_at IS NOT NULL)
"""

FORGET_ALL = "DELETE FROM commands WHERE asked_at < now() - $1::interval"


@dataclass(frozen=True, slots=True)
class Asker:
    company_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The caller is to do the work of this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Answered:
    """`answer` is the body, byte for byte."""

    status: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """Another request is working on it."""


@dataclass(frozen=True, slots=True)
class Another:
    """The key was used for something else."""


async def begin(
    conn: db.Connection | db.Pool, asker: Asker, key: str, asked: bytes
) -> Begun | Answered | Busy | Another:
    who = (asker.company_id, asker.user_id, key)
    await conn.execute(FORGET, *who, KEPT)
    if await conn.fetchval(BEGIN, *who, asked, WORKING) is not None:
        return Begun(key)
    held = await conn.fetchrow(HELD, *who)
    if held is None:  # it has been refused meanwhile
        return Busy()
    if held["asked"] != asked:
        return Another()
    if held["status"] is None:
        return Busy()
    return Answered(held["status"], held["answer"])


async def unanswered(conn: db.Connection | db.Pool, asker: Asker, asked: bytes) -> str | None:
    """The key of a command like this one (rule 3)."""
    found: str | None = await conn.fetchval(
        UNANSWERED, asker.company_id, asker.user_id, asked, KEPT
    )
    return found


async def answer(
    conn: db.Connection | db.Pool, asker: Asker, key: str, answered: Answered
) -> None:
    who = (asker.company_id, asker.user_id, key)
    await conn.execute(ANSWER, *who, answered.status, answered.answer)


async def let_go(conn: db.Connection | db.Pool, asker: Asker, key: str) -> None:
    """Let the next try take it over at once."""
    await conn.execute(LET_GO, asker.company_id, asker.user_id, key)


async def drop(conn: db.Connection | db.Pool, asker: Asker, key: str) -> None:
    """It was refused. It is only released where an earlier try may have been carried out."""
    name = undertaking_store.name(asker.user_id, key)
    await conn.execute(DROP, asker.company_id, asker.user_id, key, name)
    await let_go(conn, asker, key)


async def forget(conn: db.Connection | db.Pool) -> None:
    await conn.execute(FORGET_ALL, KEPT)

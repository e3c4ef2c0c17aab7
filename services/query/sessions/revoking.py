"""Carries out a revocation: in force first, then in the log.

Rule 1: once the caller is told that something is revoked, it holds at once and on every instance;
        a rebuilt store has it, too, and so do the other services, which read the log.
Rule 2: while Kafka is away it is in force here all the same, and the caller is told to retry.
Rule 3: of tokens never seen here a limited number can be revoked individually; beyond that, only
        all of the user's.
"""

import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.query.batch import User
from services.query.sessions import store as access_store
from shared import db, topics
from shared.events import Action, SessionChange, SessionRevocation, Source, dump
from shared.kafka.publisher import Publisher, Record
from shared.web import Refused

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ALL = "all"
REVOKE_S = 10.0
TOO_MANY = (
    f"{access_store.MOST_UNSEEN} unused tokens of this user are revoked already. "
    "Revoke all of the user's tokens instead."
)


class Revoker:
    def __init__(self, pool: db.Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher

    async def revoke(
        self, user: User, token_id: str | None, *, expires_at: datetime | None
    ) -> None:
        """One token of the user's, or all that were issued until now. The expiry of a token never
        seen here is unknown.

        Raises:
            Refused: 409, the limit of revoked tokens that were never seen is reached.
            Unavailable: Postgres or Kafka is away; it may be in force, and can be retried.
        """
        change = _change(user, token_id, expires_at, datetime.now(UTC))
        with db.errors():
            async with db.leased(self._pool, seconds=REVOKE_S) as conn, conn.transaction():
                has_room = (
                    token_id is None
                    or expires_at is not None
                    or await access_store.has_room(conn, user, token_id)
                )
                if has_room:
                    await access_store.tell(conn, await access_store.revoke(conn, [change]))
        if not has_room:
            raise Refused(409, "too_many_revoked", TOO_MANY)
        record = Record(topics.APP_SESSIONS.name, change.key, dump(change))
        await self._publisher.publish([record])
        log.info("sessions_revoked", extra={"company_id": user.company_id})


def _change(
    user: User, token_id: str | None, expires_at: datetime | None, now: datetime
) -> SessionChange:
    if user.user_id is None:
        raise AssertionError("a revocation is of one user")
    return SessionChange(
        event_id=str(uuid4()),
        company_id=user.company_id,
        entity="session",
        entity_id=f"{user.user_id}:{token_id or ALL}",
        action=Action.CHANGE,
        version=(now - EPOCH) // MICROSECOND,
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=SessionRevocation(user_id=user.user_id, token_id=token_id, expires_at=expires_at),
    )

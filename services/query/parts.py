"""What the API's handlers use, and the one way in which they read Postgres.

Rule: no read is started that is known to fail, or for which the user or the process has no
      capacity left.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from services.query import reading
from services.query.batch import User
from services.query.cache import Cache
from services.query.limits import Limits
from services.query.sampler import Samples
from services.query.statuses import Statuses
from services.query.watch import Watch
from shared import db
from shared.errors import Unavailable
from shared.openapi import Bodiless

UNCHANGED: Final = {304: Bodiless("The page still has the ETag that If-None-Match names")}
NO_ROOM: Final = {
    429: "The user's request limit is reached; Retry-After says when to retry",
    503: "Postgres is unavailable and the page not cached, or the service is overloaded",
}
"""What reading Postgres may answer instead."""


@dataclass(frozen=True, slots=True)
class Parts:
    pool: db.Pool
    cache: Cache
    watch: Watch
    limits: Limits = field(default_factory=Limits)
    samples: Samples = field(default_factory=Samples)
    statuses: Statuses = field(default_factory=Statuses)

    @asynccontextmanager
    async def room(self, user: User | None = None) -> AsyncIterator[None]:
        """Without a user the read is on nobody's account.

        Raises:
            Unavailable: Postgres is away.
            Refused: 429 or 503, there is no room for the read.
        """
        if self.watch.away:
            raise Unavailable("Postgres: unavailable a moment ago")
        if user is not None:
            self.limits.admit(user)
        async with self.limits.gate.turn():
            yield

    @asynccontextmanager
    async def snapshot(self, user: User | None = None) -> AsyncIterator[db.Connection]:
        """Raises:
        Unavailable: Postgres is away, or too slow.
        Refused: 429 or 503, there is no room for the read.
        """
        async with self.room(user), reading.snapshot(self.pool) as conn:
            yield conn

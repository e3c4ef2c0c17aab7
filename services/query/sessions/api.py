"""The user's own record and sessions, and how to end these.

Rule: users end their own sessions; admins those of anyone in the company.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from services.query.batch import User
from services.query.parts import NO_ROOM, Parts
from services.query.reading import READ_S
from services.query.sessions import store as access_store
from services.query.sessions.people import People
from services.query.sessions.revoking import Revoker
from services.query.sessions.seen import Sessions
from shared import access, auth, db
from shared.access import UserKey
from shared.auth import Session
from shared.json_model import Json, Whole
from shared.openapi import Endpoint
from shared.web import Refused, answer, body, cleaned, query, session

ENDING = {
    403: "Only an admin may see or end the sessions of others",
    503: "Kafka or Postgres is unavailable; the request may have taken effect; retrying is safe",
}
TOO_MANY = {409: "Too many unused tokens are revoked already; revoke all of the user's instead"}
MOST_JTI: Final = 500


class Me(Json):
    """The token's user. Name and e-mail are null until they arrive from Pipedrive."""

    id: str
    company_id: str
    name: str | None
    email: str | None
    is_admin: bool
    session_id: str
    expires_at: datetime


class Device(Json):
    """A token in use, and where it was last seen."""

    id: str
    user_agent: str
    first_seen_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    is_current: bool


class Devices(Json):
    """The user's 100 most recently seen sessions, latest first."""

    sessions: list[Device]


class OfUser(Json):
    """Whose sessions; the caller's own by default."""

    user_id: Whole | None = Field(
        None, ge=0, le=2**63 - 1, description="another user: admins only"
    )


class WantedRevocation(OfUser):
    """What to revoke: all tokens issued until now, or the one with this `jti` (of tokens never
    seen here, 100 at most). After all were revoked, a token of the user is valid only if its `iat`
    says that it was issued later.
    """

    jti: str | None = Field(None, min_length=1, max_length=MOST_JTI)


class Revoked(Json):
    """What was revoked. `sessionId` is null where all of the user's tokens were."""

    user_id: str
    session_id: str | None


class SessionsApi:
    def __init__(self, parts: Parts, sessions: Sessions, people: People, revoker: Revoker) -> None:
        self._parts = parts
        self._sessions = sessions
        self._people = people
        self._revoker = revoker

    def endpoints(self) -> list[Endpoint]:
        unknown = {404: "There is no such session"}
        malformed = {400: "A parameter or the body is malformed"}
        return [
            Endpoint("GET", "/api/me", self.me, "Who I am", {200: Me, **NO_ROOM}),
            Endpoint(
                "GET",
                "/api/sessions",
                self.sessions,
                "The user's sessions",
                {200: Devices, **malformed, 403: ENDING[403], **NO_ROOM},
                query=OfUser,
            ),
            Endpoint(
                "DELETE",
                "/api/sessions/{id}",
                self.end_session,
                "End one session: every service refuses its token from then on",
                {200: Revoked, **unknown, **NO_ROOM, 503: ENDING[503]},
                path_parameters={"id": "the session's id"},
            ),
            Endpoint(
                "POST",
                "/api/sessions/revoke",
                self.revoke_sessions,
                "Revoke all tokens issued to a user so far, or one by its jti",
                {200: Revoked, **malformed, **TOO_MANY, **NO_ROOM, **ENDING},
                body=WantedRevocation,
            ),
        ]

    async def me(self, request: web.Request) -> web.Response:
        own = session(request)
        who = own.identity
        record = await self._record(User(who.company_id, who.user_id))
        found = Me(
            id=str(who.user_id),
            company_id=str(who.company_id),
            name=record["name"],
            email=record["email"],
            is_admin=who.is_admin,
            session_id=own.token_id,
            expires_at=access.instant(own.expires_at),
        )
        return answer(found.model_dump(by_alias=True))

    async def _record(self, user: User) -> dict[str, Any]:
        kept = await self._people.kept(user)
        if kept is not None:
            return kept
        async with self._parts.room(user):
            return await self._people.read(user)

    async def sessions(self, request: web.Request) -> web.Response:
        own = session(request)
        user = _allowed(own, query(request, OfUser).user_id)
        async with self._connection(own) as conn:
            rows = await access_store.sessions(conn, user)
        devices = [_device(row, own.token_id) for row in rows]
        return answer(Devices(sessions=devices).model_dump(by_alias=True))

    async def end_session(self, request: web.Request) -> web.Response:
        own = session(request)
        who = own.identity
        token_id = cleaned(request.match_info["id"])
        async with self._connection(own) as conn:
            row = await access_store.session(
                conn, User(who.company_id, who.user_id), token_id, of_anyone=who.is_admin
            )
        if row is None:
            raise Refused(404, "not_found", "You have no such session.")
        user = User(who.company_id, row["user_id"])
        return await self._revoke(user, token_id, row["expires_at"])

    async def revoke_sessions(self, request: web.Request) -> web.Response:
        own = session(request)
        wanted = await body(request, WantedRevocation)
        user = _allowed(own, wanted.user_id)
        token_id = auth.token_id(wanted.jti) if wanted.jti is not None else None
        row = None
        async with self._connection(own) as conn:
            if token_id is not None:
                row = await access_store.session(conn, user, token_id, of_anyone=False)
        return await self._revoke(user, token_id, row["expires_at"] if row is not None else None)

    @asynccontextmanager
    async def _connection(self, own: Session) -> AsyncIterator[db.Connection]:
        """A connection, after all sessions seen until now have been stored."""
        who = own.identity
        async with self._parts.room(User(who.company_id, who.user_id)):
            await self._sessions.flush()
            with db.errors():
                async with db.leased(self._parts.pool, seconds=READ_S) as conn:
                    yield conn

    async def _revoke(
        self, user: User, token_id: str | None, expires_at: datetime | None
    ) -> web.Response:
        await self._revoker.revoke(user, token_id, expires_at=expires_at)
        await self._sessions.load_of([UserKey(user.company_id, user.user_id or 0)])
        return answer({"userId": str(user.user_id), "sessionId": token_id})


def _allowed(own: Session, user_id: int | None) -> User:
    """Raises:
    Refused: 403.
    """
    who = own.identity
    if user_id not in (None, who.user_id) and not who.is_admin:
        raise Refused(
            403, "forbidden", "Only an admin of the company may see or end these sessions."
        )
    return User(who.company_id, who.user_id if user_id is None else user_id)


def _device(row: Any, current: str) -> Device:
    return Device(
        id=row["token_id"],
        user_agent=row["user_agent"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        expires_at=row["expires_at"],
        is_current=row["token_id"] == current,
    )

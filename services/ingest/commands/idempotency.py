"""Makes retries of a request safe.

Rule 1: an `Idempotency-Key` names one request of one user for 24 hours: its answer is repeated,
        with `Idempotency-Replayed: true`, and a different request under it is refused.
Rule 2: without a key, a request whose answer may have been lost is continued when the same user
        sends it again; and one in progress is waited for, since its process may have died. To do
        the same thing twice, send it again after the answer, or use different keys.
Rule 3: what was refused was not done, so its key is free again: unless an earlier try may have
        been carried out, which the next one is to find.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import orjson
from aiohttp import web
from pydantic import BaseModel

from services.ingest.commands import command_store, refusals
from services.ingest.commands.answers import AfterQuery
from services.ingest.commands.command_store import Another, Answered, Asker, Begun, Busy
from services.ingest.commands.doing import Caller
from services.ingest.commands.leaving import left_open
from services.ingest.commands.neighbours import passed_on
from shared import db, locks
from shared.errors import Unavailable
from shared.observability import COMMANDS
from shared.pipedrive.errors import PipedriveRefused
from shared.web import Refused, identity, query, raw

log = logging.getLogger(__name__)

Work = Callable[[Caller], Awaitable[BaseModel]]

LONGEST_KEY: Final = 255
WAITED_S: Final = 3.0
POLL_S: Final = 0.05
ASKED_LOCK: Final = 0x4943
"""Namespace of the advisory locks on requests without a key."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    pool: db.Pool

    async def once(
        self, request: web.Request, asked: BaseModel, status: int, work: Work
    ) -> web.Response:
        """The answer to the request; `status` is the one for success.

        Raises:
            Refused: what failed, as an answer to the caller.
        """
        user = identity(request)
        after = query(request, AfterQuery).after
        asker = Asker(user.company_id, user.user_id)
        digest = _digest(request, asked)
        begun = await self._begin(asker, _key(request), digest)
        match begun:
            case Answered():
                COMMANDS.labels(_name(request), "repeated").inc()
                response = raw(begun.answer, begun.status)
                response.headers["Idempotency-Replayed"] = "true"
                return response
            case Busy():
                raise refusals.in_progress()
            case Another():
                raise refusals.another()
            case Begun():
                whose = asker.company_id, asker.user_id
                headers = passed_on(request.headers)
                caller = Caller(*whose, headers, begun.key, digest, after)
                answered = await self._worked(_name(request), caller, status, work)
                return raw(answered.answer, answered.status)

    async def _begin(
        self, asker: Asker, key: str | None, digest: bytes
    ) -> Begun | Answered | Busy | Another:
        with db.errors():
            if key is None:
                key, begun = await self._begin_without_key(asker, digest)
            else:
                begun = await command_store.begin(self.pool, asker, key, digest)
            deadline = asyncio.get_running_loop().time() + WAITED_S
            while isinstance(begun, Busy) and asyncio.get_running_loop().time() <= deadline:
                await asyncio.sleep(POLL_S)
                begun = await command_store.begin(self.pool, asker, key, digest)
            return begun

    async def _begin_without_key(
        self, asker: Asker, digest: bytes
    ) -> tuple[str, Begun | Answered | Busy | Another]:
        """Also returns the key to go on under. Of concurrent requests the later find the first."""
        async with self.pool.acquire() as conn, conn.transaction():
            await locks.hold(conn, ASKED_LOCK, [(asker, digest)])
            unanswered = await command_store.unanswered(conn, asker, digest)
            key = unanswered or f"-{uuid4()}"
            return key, await command_store.begin(conn, asker, key, digest)

    async def _worked(self, name: str, caller: Caller, status: int, work: Work) -> Answered:
        """Raises:
        Refused: what failed, as an answer to the caller.
        """
        try:
            done = await work(caller)
        except (PipedriveRefused, Refused) as refused:
            COMMANDS.labels(name, "refused").inc()
            with left_open("command"):
                await command_store.drop(self.pool, caller.asker, caller.key)
            if isinstance(refused, Refused):
                raise
            raise refusals.of_pipedrive(refused) from refused
        except Unavailable as outage:
            COMMANDS.labels(name, "unavailable").inc()
            await self._let_go(caller)
            raise refusals.of_outage(outage) or outage from outage
        except BaseException:
            await self._let_go(caller)
            raise
        answer = {"success": True, "data": done.model_dump(mode="json", by_alias=True)}
        answered = Answered(status, orjson.dumps(answer))
        COMMANDS.labels(name, "done").inc()
        await self._keep(caller, answered)
        return answered

    async def _keep(self, caller: Caller, answered: Answered) -> None:
        """What was done is answered, even if the answer cannot be stored for replay."""
        try:
            with db.errors():
                await command_store.answer(self.pool, caller.asker, caller.key, answered)
        except Unavailable as outage:
            log.warning("command_answer_not_kept", extra={"reason": str(outage)})

    async def _let_go(self, caller: Caller) -> None:
        with left_open("command"):
            await command_store.let_go(self.pool, caller.asker, caller.key)


def _name(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else ''}"


def _digest(request: web.Request, asked: BaseModel) -> bytes:
    whole = f"{request.method} {request.path} {asked.model_dump_json()}"
    return hashlib.blake2b(whole.encode(), digest_size=16).digest()


def _key(request: web.Request) -> str | None:
    """Raises:
    Refused: 400.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        sentence = f"An Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise Refused(400, "bad_request", sentence)
    return f"+{key}"

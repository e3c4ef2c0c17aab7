"""Calls the other services on the user's behalf: whose contact it is, which organization.

Rule 1: the user's own token is passed on, so nobody sees or finds more through us than by asking
        there, and each service stays the only one that knows its tables. So is the User-Agent:
        query shows for each session by which browser it was last used.
Rule 2: a refusal counts only if the service itself refuses what it was asked. A server without
        such an endpoint, or that is not ours, says nothing about it: that is an outage.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import aiohttp
import orjson
from aiohttp import hdrs

from shared.errors import Unavailable
from shared.positions import HEADER, PENDING
from shared.web import NOT_SERVED, Refused, cleaned

DEADLINE_S: Final = 5.0
AT_ONCE: Final = 16
NOT_FOUND: Final = 404
TOO_MANY: Final = 429
PASSED_ON: Final = (hdrs.AUTHORIZATION, hdrs.USER_AGENT)

Headers = Mapping[str, str]


class Contact(NamedTuple):
    contact_id: UUID
    person_id: int
    updated_at: datetime
    """The second of the newest fact that query knows about it."""


class Organization(NamedTuple):
    organization_id: UUID
    name: str
    pipedrive_org_id: int | None
    address: str | None
    website: str | None
    verdicts: frozenset[UUID] = frozenset()
    """Ids of the verdicts about its records; empty unless it was read by its id."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    session: aiohttp.ClientSession
    orgs_url: str
    query_url: str

    async def contact(
        self, contact_id: UUID, headers: Headers, *, after: str | None = None
    ) -> Contact:
        """`after` names what query must have applied before it answers.

        Raises:
            Refused: 404, the user has no such contact.
            Unavailable: query is away, or does not show what `after` names yet.
        """
        url = f"{self.query_url}/api/contacts/{contact_id}"
        found = await self._ask("GET", url, headers, params={"after": after} if after else None)
        updated_at = datetime.fromisoformat(found["updatedAt"])
        return Contact(UUID(found["id"]), int(found["pipedrivePersonId"]), updated_at)

    async def contacts(
        self, contact_ids: Sequence[UUID], headers: Headers, *, after: str | None = None
    ) -> list[Contact]:
        """All of them, in their order, or none."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(contact_id: UUID) -> Contact:
            async with room:
                return await self.contact(contact_id, headers, after=after)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(each)) for each in contact_ids]
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        return [task.result() for task in tasks]

    async def organization(self, organization_id: UUID, headers: Headers) -> Organization:
        """Raises:
        Refused: 404, the company has no such organization.
        Unavailable: orgs is away.
        """
        url = f"{self.orgs_url}/api/organizations/{organization_id}"
        return _organization(await self._ask("GET", url, headers))

    async def find_or_make_organization(self, name: str, headers: Headers) -> Organization:
        """Raises:
        Refused: 400, it can have no such name.
        Unavailable: orgs is away; asking again is safe.
        """
        url = f"{self.orgs_url}/api/organizations"
        try:
            return _organization(await self._ask("POST", url, headers, {"name": name}))
        except Refused as refused:
            sentence = refused.sentence.replace("'name'", "'organizationName'", 1)
            raise Refused(refused.status, refused.code, sentence) from refused

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        try:
            async with self.session.request(
                method,
                url,
                params=params,
                json=body,
                headers=headers,
                skip_auto_headers=(hdrs.USER_AGENT,),  # ours is not the user's
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await response.read()
            told = orjson.loads(content)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unavailable(f"{url}: {type(error).__name__}") from error
        if response.status == NOT_FOUND and response.headers.get(HEADER) == PENDING:
            raise Unavailable(f"{url}: does not show the earlier change yet")
        if _is_refusal(response.status, told):
            raise Refused(response.status, str(told["code"]), str(told["error"]))
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise Unavailable(f"{url}: answered {response.status}")
        data: dict[str, Any] = told["data"]
        return data


def passed_on(headers: Headers) -> Headers:
    """The user's headers to pass on, limited to characters that a header can carry."""
    return {name: cleaned(headers[name]) for name in PASSED_ON if name in headers}


def _is_refusal(status: int, told: Any) -> bool:
    """Whether the service itself refuses what it was asked (rule 2)."""
    if not 400 <= status < 500 or status == TOO_MANY:  # noqa: PLR2004
        return False
    is_ours = isinstance(told, dict) and told.keys() >= {"code", "error"}
    return is_ours and told["code"] not in NOT_SERVED


def _organization(told: Mapping[str, Any]) -> Organization:
    number = told.get("pipedriveOrgId")
    return Organization(
        UUID(told["id"]),
        told.get("name") or "",
        None if number is None else int(number),
        told.get("address"),
        told.get("website"),
        frozenset(
            UUID(each["verdictId"]) for each in told.get("history", ()) if each.get("verdictId")
        ),
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one to raise: a refusal says more than an outage beside it."""
    found = list(errors.exceptions)
    return next((one for one in found if isinstance(one, Refused)), found[0])

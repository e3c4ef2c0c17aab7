"""Pipedrive's REST API for one company: calls, pages, limits, and its failures as our errors.

    clients = Clients(tenants, budget)            # one per process, `async with`
    pipedrive = clients.of(company_id)            # purpose=Purpose.SYNC for the sync
    person = await pipedrive.get("/v2/persons/12")
    async for page in pipedrive.pages("/v2/persons", {"sort_by": "id"}): page.rows, page.next

Rule 1: each call has a deadline that includes all waiting.
Rule 2: after a 429, and when the headers say that nothing is left, nobody calls with this token
        until the burst is over, and longer after each further 429: clients that keep calling are
        banned by the firewall in front of Pipedrive.
Rule 3: only a 429 is retried here. A write whose answer is missing is `Unsettled`.
Rule 4: the token is sent in a header, to the company's own host alone: no redirect is followed.
Rule 5: before a token is used for anything else Pipedrive is asked who owns it, once per process:
        with one of another company nothing must be read as this company's, nor written. Only an
        answer that names another one proves it.
Rule 6: a refusal that would be the whole account's stops all calls only if the same is said of the
        token's owner: a single list may be outside the company's plan, or behind another firewall.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Self

import aiohttp
from pydantic import SecretStr

from shared import heart
from shared.observability import PIPEDRIVE_CALLS, PIPEDRIVE_SECONDS
from shared.pipedrive import costs, owner, paging, reading
from shared.pipedrive.budget import Budget, Purpose
from shared.pipedrive.errors import (
    NotConnected,
    NotOfTheCompany,
    NotUsable,
    PipedriveRefused,
    Unanswered,
    Unavailable,
    Unsettled,
)
from shared.pipedrive.lookups import Lookups
from shared.pipedrive.owner import Owner
from shared.pipedrive.ownership import Ownership
from shared.pipedrive.pace import Pace, Paces
from shared.pipedrive.paging import Page
from shared.pipedrive.reading import Answer, Verdict
from shared.tenants import Tenant, Tenants

__all__ = ["Clients", "Page", "Pipedrive"]

Params = Mapping[str, Any]
Credential = tuple[SecretStr | None, str | None]
"""A token and the host that it is sent to."""

DEADLINE_S: Final = 10.0
CONNECT_S: Final = 3.0
CONNECTIONS: Final = 16
MOST_PER_PAGE: Final = 500
OUT_OF_ORDER: Final = frozenset({401, 402})
"""The token or the account is not accepted, whatever the request."""


class Pipedrive:
    """One company's API, through one token. Made by `Clients.of`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tenant: Tenant,
        budget: Budget,
        *,
        paces: Paces,
        ownership: Ownership,
        purpose: Purpose = Purpose.INTERACTIVE,
    ) -> None:
        if tenant.api_token is None or not tenant.api_domain:
            raise NotConnected(tenant.company_id)
        self.company_id = tenant.company_id
        self.purpose = purpose
        self._session = session
        domain = tenant.api_domain.rstrip("/")
        self._base = f"{domain if '://' in domain else f'https://{domain}'}/api"
        self._headers = {"x-api-token": tenant.api_token.get_secret_value()}
        self._budget = budget
        self._paces = paces
        self._ownership = ownership

    async def owner(self, *, deadline_s: float = DEADLINE_S) -> Owner:
        """Who owns the token now, as far as Pipedrive says.

        Raises:
            NotOfTheCompany: it is another company's. Else as `get`.
        """
        try:
            due = time.monotonic() + deadline_s
            found = owner.read((await self._called("GET", owner.PATH, due)).get("data"))
        except PipedriveRefused as refused:
            if refused.status in OUT_OF_ORDER:
                raise
            found = owner.UNTOLD  # we may not ask, which proves nothing
        self._ownership.is_ours = found.company_id in (None, self.company_id)
        self._require_ours()
        return found

    async def get(
        self, path: str, params: Params | None = None, *, deadline_s: float = DEADLINE_S
    ) -> Any:
        """The `data` of an answer. `path` starts with its version: `/v2/persons/12`.

        Raises:
            Unavailable, BurstSpent, DaySpent, Blocked: waiting helps.
            PipedriveRefused: it does not.
        """
        return (await self.call("GET", path, params, deadline_s=deadline_s)).get("data")

    async def post(self, path: str, body: Params, *, deadline_s: float = DEADLINE_S) -> Any:
        """The `data` of what was created.

        Raises:
            Unsettled: it may have been created. Else as `get`.
        """
        return (await self.call("POST", path, body=body, deadline_s=deadline_s)).get("data")

    async def patch(self, path: str, body: Params, *, deadline_s: float = DEADLINE_S) -> Any:
        """As `post`."""
        return (await self.call("PATCH", path, body=body, deadline_s=deadline_s)).get("data")

    async def put(self, path: str, body: Params, *, deadline_s: float = DEADLINE_S) -> Any:
        """As `post`."""
        return (await self.call("PUT", path, body=body, deadline_s=deadline_s)).get("data")

    async def delete(self, path: str, *, deadline_s: float = DEADLINE_S) -> Any:
        """As `post`."""
        return (await self.call("DELETE", path, deadline_s=deadline_s)).get("data")

    async def page(
        self, path: str, params: Params | None = None, *, deadline_s: float = DEADLINE_S
    ) -> Page:
        """One page of a list, and the mark of the next one."""
        return paging.page(path, await self.call("GET", path, params, deadline_s=deadline_s))

    async def pages(
        self,
        path: str,
        params: Params | None = None,
        *,
        start: paging.Mark = None,
        ahead: bool = True,
        key: str = "id",
        deadline_s: float = DEADLINE_S,
    ) -> AsyncGenerator[Page, None]:
        """All pages of a list, of the maximum size unless `params` sets another `limit`.

        One page is prefetched (`ahead`) while the caller handles another: wasteful for callers
        that usually stop after the first, since it costs tokens. `start` is a page's `next`, to
        resume there, `key` the field that holds a row's id. Close it (`contextlib.aclosing`) when
        leaving before its end.

        Raises:
            Endless: the pages show nothing new any more. Else as `get`, at the page that fails.
        """
        wanted = {"limit": MOST_PER_PAGE, **(params or {})}

        async def fetch(mark: paging.Mark) -> Page:
            there = paging.at(path, mark)
            return await self.page(path, {**wanted, **there}, deadline_s=deadline_s)

        page, course = await fetch(start), paging.Course(key)
        while page.next is not None:
            course.pass_on(page)
            if not ahead:
                yield page
                page = await fetch(page.next)
                continue
            following = asyncio.create_task(fetch(page.next))
            try:
                yield page
                page = await following
            finally:
                await _ended(following)
        yield page

    async def call(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Params | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> dict[str, Any]:
        """The whole envelope of an answer."""
        due = time.monotonic() + deadline_s
        if self._ownership.is_ours is None:
            async with self._ownership.turn(due):
                if self._ownership.is_ours is None:
                    await self.owner(deadline_s=due - time.monotonic())
        self._require_ours()
        return await self._called(method, path, due, params, body)

    def _require_ours(self) -> None:
        if not self._ownership.is_ours:
            raise NotOfTheCompany(self.company_id)

    async def _called(
        self,
        method: str,
        path: str,
        due: float,
        params: Params | None = None,
        body: Params | None = None,
    ) -> dict[str, Any]:
        called = costs.call(method, path)
        pace = self._paces.of(is_search=called.is_search)
        while True:
            async with pace.turn(due) as began:
                await self._budget.take(self.company_id, called.tokens, self.purpose)
                try:
                    answer = await self._answer(method, path, params, body, due)
                except Unavailable:
                    PIPEDRIVE_CALLS.labels(called.endpoint, "no_answer").inc()
                    raise
                self._learn(answer, pace)
            verdict = reading.verdict(answer, called.tokens)
            PIPEDRIVE_CALLS.labels(called.endpoint, verdict.value).inc()
            if verdict is Verdict.BURST_SPENT:
                pace.refused(began, answer.retry_after_s)
                continue
            pace.accepted()
            if verdict is Verdict.OK:
                return answer.told or {}
            if path != owner.PATH and reading.may_concern_all(answer):
                await self.owner(deadline_s=due - time.monotonic())
                raise reading.unserved(answer)
            raise await self._trouble(method, answer, verdict)

    async def _trouble(self, method: str, answer: Answer, verdict: Verdict) -> Exception:
        match verdict:
            case Verdict.DAY_SPENT:
                return await self._budget.spend_all(self.company_id)
            case Verdict.BLOCKED:
                return await self._budget.block(self.company_id)
            case Verdict.REFUSED:
                return reading.refused(answer)
            case _:
                return _broken(method, reading.without_meaning(answer))

    async def _answer(
        self, method: str, path: str, params: Params | None, body: Params | None, due: float
    ) -> Answer:
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=max(0.001, due - began), sock_connect=CONNECT_S)
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=paging.spelled(params),
                json=body,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unanswered(f"Pipedrive: cannot connect: {type(error).__name__}") from error
        except ValueError as error:  # nothing was sent, or ever can be
            raise NotUsable(self.company_id) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(method, f"gave no answer: {type(error).__name__}") from error
        finally:
            PIPEDRIVE_SECONDS.observe(time.monotonic() - began)
            heart.stir()
        return reading.read(response.status, response.headers, content)

    def _learn(self, answer: Answer, pace: Pace) -> None:
        day = answer.day
        if day is not None:
            self._budget.learn(self.company_id, limit=day.limit, remaining=day.remaining)
        burst = answer.burst
        pace.learn(limit=burst.limit, left=burst.left, reset_s=answer.retry_after_s)


class Clients:
    """The clients of all companies, over one connection pool."""

    def __init__(self, tenants: Tenants, budget: Budget) -> None:
        self._tenants = tenants
        self._budget = budget
        self._session: aiohttp.ClientSession | None = None
        self._made: dict[tuple[int, Purpose], tuple[Tenant, Pipedrive]] = {}
        self._paces: dict[int, Paces] = {}
        self._ownerships: dict[int, tuple[Credential, Ownership]] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS, resolver=Lookups())
        headers = {"User-Agent": "my500", "Accept": "application/json"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def of(self, company_id: int, purpose: Purpose = Purpose.INTERACTIVE) -> Pipedrive:
        """The company's client, with its present entry in the tenants file.

        Raises:
            NotConnected: it names no token or domain.
        """
        if self._session is None:
            raise AssertionError("enter the context first")
        tenant = self._tenants.get(company_id)
        if tenant.company_id != company_id:
            raise NotConnected(company_id)
        made = self._made.get((company_id, purpose))
        if made is None or made[0] is not tenant:
            paces = self._paces.setdefault(company_id, Paces())
            client = Pipedrive(
                self._session,
                tenant,
                self._budget,
                paces=paces,
                ownership=self._ownership(tenant),
                purpose=purpose,
            )
            made = self._made[company_id, purpose] = tenant, client
        return made[1]

    def credential(self, company_id: int) -> Credential:
        """The tenants file's present value; the same object as long as it does not change.

        Raises:
            NotConnected: it names no token or domain.
        """
        self._tenants.reload()
        self.of(company_id)
        return _credential(self._tenants.get(company_id))

    def _ownership(self, tenant: Tenant) -> Ownership:
        """What was learned about a token holds as long as the file has that token."""
        credential = _credential(tenant)
        held = self._ownerships.get(tenant.company_id)
        if held is None or held[0] != credential:
            held = self._ownerships[tenant.company_id] = credential, Ownership()
        return held[1]


def _credential(tenant: Tenant) -> Credential:
    return tenant.api_token, tenant.api_domain


def _broken(method: str, what: str) -> Unavailable:
    """A missing or meaningless answer: harmless for a read, but a write may have been done."""
    return (Unanswered if method == "GET" else Unsettled)(f"Pipedrive: {what}")


async def _ended(task: asyncio.Task[Page]) -> None:
    """Cancel what nobody waits for any more, and wait for its end."""
    if not task.done():
        task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()

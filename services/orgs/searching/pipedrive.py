"""Uses Pipedrive's own search for organizations that our store does not have (yet).

Rule 1: it is limited by a deadline and the company's tokens, and may always fail: the answer then
        says why, and has what our store found.
Rule 2: an answer is cached for a minute: people type, delete and type again, and each search costs
        twenty tokens.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self

from services.orgs.searching import terms as searching_terms
from services.orgs.searching.answers import Asked, Remote
from services.orgs.settings import OrgsSettings
from shared.pipedrive.budget import Budget
from shared.pipedrive.client import Clients
from shared.pipedrive.errors import Blocked, BurstSpent, DaySpent, NotConnected, PipedriveRefused
from shared.pipedrive.errors import Unavailable as Away
from shared.tenants import Tenants

log = logging.getLogger(__name__)

PATH = "/v2/organizations/search"
ASKED_FOR = 50
SHORTEST_TERM = 2
KEPT_S = 60.0
KEPT = 5_000

Key = tuple[int, str]


class Answer(NamedTuple):
    asked: Asked
    organizations: Sequence[Remote] = ()


class Fallback:
    """Pipedrive's searches for all companies. Leave the context to close it."""

    def __init__(self, settings: OrgsSettings) -> None:
        self.tenants = Tenants(settings.tenants_file)
        self._deadline_s = settings.search_pipedrive_seconds
        self._budget = Budget(settings.redis_url.get_secret_value())
        self._clients = Clients(self.tenants, self._budget)
        self._kept: OrderedDict[Key, tuple[float, Answer]] = OrderedDict()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._budget)
        await self._open.enter_async_context(self._clients)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def find(self, company_id: int, text: str) -> Answer:
        """What Pipedrive finds for the text; its failures are never raised."""
        if len(text) < SHORTEST_TERM or self._deadline_s == 0:
            return Answer("not_needed")
        key = (company_id, searching_terms.folded(searching_terms.of_query(text)))
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        answer = await self._ask(company_id, text)
        if answer.asked == "ok":
            self._keep(key, answer)
        return answer

    async def _ask(self, company_id: int, text: str) -> Answer:
        params = {"term": text, "fields": "name", "limit": ASKED_FOR}
        try:
            async with asyncio.timeout(self._deadline_s):
                client = self._clients.of(company_id)
                page = await client.page(PATH, params, deadline_s=self._deadline_s)
        except NotConnected:
            return Answer("not_connected")
        except (BurstSpent, DaySpent, Blocked):
            return Answer("limited")
        except TimeoutError:
            return Answer("late")
        except Away as error:
            return _failed(
                "late" if isinstance(error.__cause__, TimeoutError) else "unavailable", error
            )
        except PipedriveRefused as error:
            return _failed("unavailable", error)
        return Answer("ok", [remote for row in page.rows if (remote := _remote(row))])

    def _keep(self, key: Key, answer: Answer) -> None:
        self._kept[key] = (time.monotonic() + KEPT_S, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _failed(asked: Asked, error: Exception) -> Answer:
    log.warning("pipedrive_search_failed", extra={"reason": str(error)})
    return Answer(asked)


def _remote(row: dict[str, Any]) -> Remote | None:
    """One row of the search; null if it is malformed."""
    item = row.get("item")
    if not isinstance(item, dict):
        return None
    number, name = item.get("id"), item.get("name")
    if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
        return None
    return Remote(number, name)

"""The webhooks of the company: registered, listed, deleted, and each with its own delivery.

Rule 1: retries, bans and credentials are per webhook.
Rule 2: without a success for three days it is deleted. One that was switched off is listed, but
        gets nothing.
Rule 3: at most 40 per user; a URL that cannot be reached is refused at registration.
Rule 4: a webhook gets no changes of rows that its user cannot see.
Rule 5: URLs are normalized: the host in lower case, without the default port.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.bodies import Hook, v2
from devstack.pipedrive.bodies_v1 import can_say, v1
from devstack.pipedrive.changes import Change
from devstack.pipedrive.delivery import Answer, Counters, Faults, Rules, Sender, Target

MOST = 40
FIRST_ID = 4_710_827
DAYS_WITHOUT_SUCCESS = 3
PROBE_S = 3.0
ACTIONS = ("create", "change", "delete", "*")
OBJECTS = (
    "activity",
    "deal",
    "lead",
    "note",
    "organization",
    "person",
    "pipeline",
    "product",
    "stage",
    "user",
    "*",
)
Fields = Mapping[str, Any]


@dataclass(slots=True)
class Registered:
    """A webhook, and what is known of its deliveries."""

    hook_id: int
    company_id: int
    user_id: int
    url: str
    action: str
    entity: str
    version: str
    user: str | None
    password: str | None
    name: str | None
    added: datetime
    is_active: bool = True
    last_success: datetime | None = None
    last_delivery: datetime | None = None
    last_status: int | None = None

    def wants(self, change: Change) -> bool:
        if not self.is_active or self.entity not in ("*", change.entity):
            return False
        if self.action not in ("*", change.action):
            return False
        return self.version == "2.0" or can_say(change)

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.hook_id,
            "company_id": self.company_id,
            "owner_id": self.user_id,
            "user_id": self.user_id,
            "event_action": self.action,
            "event_object": self.entity,
            "subscription_url": self.url,
            "version": self.version,
            "is_active": int(self.is_active),
            "add_time": _millis(self.added),
            "remove_time": None,
            "type": "general",
            "http_auth_user": "v1u:encrypted" if self.user else None,
            "http_auth_password": "v1u:encrypted" if self.password else None,
            "remove_reason": None,
            "last_delivery_time": _millis(self.last_delivery) if self.last_delivery else None,
            "last_http_status": self.last_status,
            "admin_id": self.user_id,
            "name": self.name,
        }


class Hooks:
    """`dropped` is the share of events that get lost on the way to every hook."""

    def __init__(
        self,
        company_id: int,
        user_ids: tuple[int, ...],
        *,
        seed: int = 0,
        rules: Rules | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.company_id = company_id
        self.user_ids = user_ids
        self.dropped = 0.0
        self.lost = 0
        self.faults = faults or Faults()
        self._seed = seed
        self._rules = rules or Rules()
        self._rng = Random(seed)
        self._hooks: dict[int, tuple[Registered, Sender]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        running = list(self._running.values())
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)

    def all(self) -> list[Registered]:
        return [found for found, _ in self._hooks.values()]

    def get(self, hook_id: int) -> Registered | None:
        return self._hooks[hook_id][0] if hook_id in self._hooks else None

    def counters(self) -> dict[int, Counters]:
        return {hook_id: sender.counters for hook_id, (_, sender) in self._hooks.items()}

    async def register(self, fields: Fields) -> Registered:
        """Raises:
        Rejected: 400 with the fields that are wrong, 422 when there are too many.
        """
        wanted = _checked(fields, default_user=self.user_ids[0])
        if len([one for one in self.all() if one.user_id == wanted["user_id"]]) >= MOST:
            raise Rejected(422, "Webhooks limit reached")
        await _probe(wanted["url"])
        return await self.add(**wanted)

    async def add(self, **wanted: Any) -> Registered:
        hook_id = max(self._hooks, default=FIRST_ID - 1) + 1
        now = datetime.now(UTC)
        hook = Registered(hook_id, self.company_id, added=now, **wanted)
        target = Target(hook.url, hook.user or "", hook.password or "")
        sender = Sender(target, self._rules, self.faults)
        sender.heard = lambda answer: self._heard(hook, answer)
        ready = asyncio.Event()
        self._running[hook_id] = asyncio.create_task(_run(sender, ready))
        await ready.wait()
        self._hooks[hook_id] = hook, sender
        return hook

    def delete(self, hook_id: int) -> bool:
        running = self._running.pop(hook_id, None)
        if running is not None:
            running.cancel()
        return self._hooks.pop(hook_id, None) is not None

    async def tell(
        self, change: Change, *, besides: int | None = None, unseen_by: int | None = None
    ) -> None:
        """Push the change to every hook that wants it; returns once the deliveries have begun.

        `besides` is a hook that gets it by other means, `unseen_by` a user who cannot see the
        object.
        """
        if self.dropped and self._rng.random() < self.dropped:
            self.lost += 1
            return
        for hook, sender in list(self._hooks.values()):
            is_hidden = hook.user_id == unseen_by
            if hook.hook_id != besides and not is_hidden and hook.wants(change):
                told = Hook(self.company_id, self.user_ids, hook.hook_id, self._seed)
                body = v2(change, told) if hook.version == "2.0" else v1(change, told)
                await sender.push(body, lambda _: None)

    def ban(self, hook_id: int) -> None:
        """As ten failed first tries would."""
        self._hooks[hook_id][1].ban()

    def disturb(self, faults: Faults) -> None:
        """Deliver from here on with these faults."""
        self.faults = faults
        for _, sender in self._hooks.values():
            sender.faults = faults

    async def flush(self) -> None:
        for _, sender in list(self._hooks.values()):
            await sender.flush()

    def _heard(self, hook: Registered, answer: Answer) -> None:
        hook.last_delivery, hook.last_status = datetime.now(UTC), answer.status
        if answer.is_ok:
            hook.last_success = hook.last_delivery
            return
        silence = hook.last_delivery - (hook.last_success or hook.added)
        if silence > timedelta(days=DAYS_WITHOUT_SUCCESS) * self._rules.time_scale:
            self.delete(hook.hook_id)


async def _run(sender: Sender, ready: asyncio.Event) -> None:
    """A task of its own: what delivers belongs to it, not to the request that registered it."""
    async with sender:
        ready.set()
        await asyncio.Event().wait()


def _checked(fields: Fields, *, default_user: int) -> dict[str, Any]:
    url, action, entity = (
        str(fields.get(name, "")) for name in ("subscription_url", "event_action", "event_object")
    )
    version = str(fields.get("version", "2.0"))
    wrong = {}
    if urlsplit(url).scheme not in ("http", "https"):
        wrong["subscription_url"] = ["invalid or non-reachable URL"]
    if action not in ACTIONS:
        wrong["event_action"] = [f"must be one of {', '.join(ACTIONS)}"]
    if entity not in OBJECTS:
        wrong["event_object"] = [f"must be one of {', '.join(OBJECTS)}"]
    if version not in ("1.0", "2.0"):
        wrong["version"] = ["must be 1.0 or 2.0"]
    if wrong:
        raise WrongFields(wrong)
    return {
        "user_id": int(fields.get("user_id") or default_user),
        "url": _usual(url),
        "action": action,
        "entity": entity,
        "version": version,
        "user": fields.get("http_auth_user"),
        "password": fields.get("http_auth_password"),
        "name": fields.get("name"),
    }


class WrongFields(Rejected):
    """As the webhooks' API says it: reasons by field."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(400, "wrong fields")
        self.errors = errors


async def _probe(url: str) -> None:
    """Whether anybody answers there at all."""
    timeout = aiohttp.ClientTimeout(total=PROBE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False),
        ):
            return
    except (aiohttp.ClientError, TimeoutError) as error:
        raise WrongFields({"subscription_url": ["invalid or non-reachable URL"]}) from error


def _usual(url: str) -> str:
    parts = urlsplit(url)
    port = ":443" if parts.scheme == "https" else ":80"
    return parts._replace(netloc=parts.netloc.lower().removesuffix(port)).geturl()


def _millis(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.000Z"

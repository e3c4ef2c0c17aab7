"""Our webhook at Pipedrive: there must be exactly one, active, and with our credentials.

Rule 1: the new one is made before an old one is deleted: events may come twice, never not at all.
        Only where Pipedrive's limit for a user is reached, a stale one of ours makes room first:
        else it could never be made.
Rule 2: ours is the one of our URL, or whose id we wrote down. Whoever connects anew also replaces
        those of our name at another URL; the watcher does not: they may be another installation's.
Rule 3: Pipedrive shows credentials encrypted, so whether they are ours still is known by their
        digest, taken when the webhook was made.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.ingest import values
from services.ingest.sync import connection_store
from services.ingest.sync.connection_store import Link
from shared import db
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import Refused
from shared.tenants import Tenant

log = logging.getLogger(__name__)

PATH: Final = "/v1/webhooks"
DOOR: Final = "/webhooks/pipedrive"
NAME: Final = "My-500"
VERSION: Final = "2.0"
EVERYTHING: Final = "*"
NOT_FOUND: Final = 404
UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class Registered:
    """`mended` is why it had to be made anew; null if it was as it should be."""

    hook_id: int
    mended: str | None


def door(public_url: str) -> str:
    return public_url.rstrip("/") + DOOR


def digest(tenant: Tenant) -> bytes:
    said = f"{tenant.webhook_user}\0{tenant.webhook_password.get_secret_value()}"
    return hashlib.sha256(said.encode()).digest()


async def listed(client: Pipedrive) -> list[dict[str, Any]]:
    """All webhooks of the company that the token may see."""
    found = await client.get(PATH)
    return [hook for hook in found or () if isinstance(hook, dict)]


async def ensure(
    client: Pipedrive,
    conn: db.Connection,
    tenant: Tenant,
    url: str,
    *,
    takes_over: bool = False,
) -> Registered:
    """Make it be as it must. One at a time for a company.

    Raises:
        Refused: Pipedrive does not let us, in its own words.
    """
    with db.errors():
        link = await connection_store.link(conn, tenant.company_id)
    hooks = await listed(client)
    ours = [hook for hook in hooks if _is_ours(hook, link, url, takes_over=takes_over)]
    wrong = _reason(ours, link, tenant, url)
    kept = next((hook for hook in ours if _suits(hook, url)), None) if wrong is None else None
    hook_id = _id(kept) if kept is not None else await _made(client, tenant, url, ours)
    with db.errors():
        await connection_store.keep_hook(conn, tenant.company_id, hook_id, url, digest(tenant))
    for hook in ours:
        if _id(hook) != hook_id:
            await _delete(client, _id(hook))
    if wrong is not None:
        log.warning("hook_registered", extra={"hook_id": hook_id, "reason": wrong})
    return Registered(hook_id, wrong)


def _is_ours(hook: dict[str, Any], link: Link | None, url: str, *, takes_over: bool) -> bool:
    if hook.get("subscription_url") == url or (link is not None and _id(hook) == link.hook_id):
        return True
    return takes_over and hook.get("name") == NAME


def _reason(
    ours: Sequence[dict[str, Any]], link: Link | None, tenant: Tenant, url: str
) -> str | None:
    """Why the webhook has to be made anew; null if one of ours is as it should be."""
    if not ours:
        return "missing"
    suiting = [hook for hook in ours if _suits(hook, url)]
    if not suiting:
        return "switched_off_or_different"
    if link is None or link.hook_digest != digest(tenant):
        return "credentials"
    return None


def _suits(hook: dict[str, Any], url: str) -> bool:
    return (
        hook.get("subscription_url") == url
        and values.flag(hook.get("is_active")) is True
        and str(hook.get("version")) == VERSION
        and hook.get("event_action") == EVERYTHING
        and hook.get("event_object") == EVERYTHING
        and not hook.get("remove_time")
    )


def _id(hook: dict[str, Any]) -> int:
    found = values.reference(hook.get("id"))
    return -1 if found is None else found


async def _made(
    client: Pipedrive, tenant: Tenant, url: str, stale: Sequence[dict[str, Any]]
) -> int:
    """Of the stale ones those that hear nothing anyway go first."""
    room = sorted(stale, key=lambda hook: values.flag(hook.get("is_active")) is True)
    for hook in room:
        try:
            return await _register(client, tenant, url)
        except Refused as refused:
            if not _is_limit(refused):
                raise
            log.warning("hook_makes_room", extra={"hook_id": _id(hook)})
            await _delete(client, _id(hook))
    return await _register(client, tenant, url)


def _is_limit(refused: Refused) -> bool:
    """Whether it is that a user has no more than 40 ("Webhooks limit reached")."""
    return refused.status == UNPROCESSABLE and "limit" in refused.sentence.lower()


async def _register(client: Pipedrive, tenant: Tenant, url: str) -> int:
    made = await client.post(
        PATH,
        {
            "subscription_url": url,
            "event_action": EVERYTHING,
            "event_object": EVERYTHING,
            "version": VERSION,
            "http_auth_user": tenant.webhook_user,
            "http_auth_password": tenant.webhook_password.get_secret_value(),
            "name": NAME,
        },
    )
    return _id(made or {})


async def _delete(client: Pipedrive, hook_id: int) -> None:
    try:
        await client.delete(f"{PATH}/{hook_id}")
    except Refused as refused:
        if refused.status != NOT_FOUND:  # gone already is what we want
            raise

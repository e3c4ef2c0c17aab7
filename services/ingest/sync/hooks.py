"""Our webhook at Pipedrive: there must be exactly one, active, and with our credentials.

Rule 1: the new one is made before an old one is deleted: events may come twice, but are never
        lost. Only if Pipedrive's limit per user is reached, a stale one of ours makes room first.
        A stale one that cannot be deleted now is left to the next check.
Rule 2: ours is the one with our URL, or with the id we recorded. Connecting also replaces hooks of
        our name at another URL; the watcher does not: they may be another installation's.
Rule 3: Pipedrive shows credentials encrypted, so a webhook's credentials are known only for the
        recorded id, by the digest taken when it was made. Any other is stale.
Rule 4: it belongs to the token's user: a webhook does not report what its owner cannot see, and
        that of a deactivated owner reports nothing, while it is shown as active.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from services.ingest import values
from services.ingest.sync import connection_store
from services.ingest.sync.answers import Reason
from services.ingest.sync.connection_store import Link, Report
from shared import db
from shared.errors import Unavailable
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import PipedriveRefused
from shared.pipedrive.owner import Owner
from shared.tenants import Tenant

log = logging.getLogger(__name__)

PATH: Final = "/v1/webhooks"
DOOR: Final = "/webhooks/pipedrive"
NAME: Final = "My-500"
VERSION: Final = "2.0"
EVERYTHING: Final = "*"
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
UNPROCESSABLE: Final = 422
NOT_ALLOWED: Final = frozenset({FORBIDDEN, NOT_FOUND, 405, 410, 415})
"""Statuses by which Pipedrive says of all webhooks that they are not for this token."""
NO_ADMIN: Final = (
    "Pipedrive does not let the API token manage webhooks: put the token of an admin into the "
    "tenants file. Meanwhile POST /api/sync reads everything."
)
SHOWN: Final = (
    "id",
    "subscription_url",
    "version",
    "is_active",
    "last_delivery_time",
    "last_http_status",
    "remove_time",
    "remove_reason",
)
"""What we keep of a webhook as Pipedrive shows it."""

Hook = dict[str, Any]


class WantedHook(NamedTuple):
    """What our webhook must be."""

    url: str
    owner: Owner
    digest: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """`mended` is why it had to be registered; null if it was as it should be."""

    hook_id: int
    mended: Reason | None


def door(public_url: str) -> str:
    return public_url.rstrip("/") + DOOR


def digest(tenant: Tenant) -> bytes:
    said = f"{tenant.webhook_user}\0{tenant.webhook_password.get_secret_value()}"
    return hashlib.sha256(said.encode()).digest()


async def listed(client: Pipedrive) -> list[Hook]:
    """All webhooks of the company that the token may see.

    Raises:
        PipedriveRefused: it may see none, which needs an admin's.
    """
    with _managing():
        found = await client.get(PATH)
    return [hook for hook in found or () if isinstance(hook, dict)]


async def reported(client: Pipedrive, hook_id: int | None) -> Report:
    """What Pipedrive says of the webhook now."""
    owner = await client.owner()
    shown = next((hook for hook in await listed(client) if _id(hook) == hook_id), None)
    return report(shown, owner)


def report(shown: Hook | None, owner: Owner) -> Report:
    """Also says what is wrong, in words."""
    if shown is None:
        return Report(None, "Pipedrive has deleted the webhook; it will be registered again.")
    problem = None
    if not _is_on(shown):
        problem = "Pipedrive has switched the webhook off."
    elif not _is_of(owner, shown):
        problem = "The webhook is not the API token user's; it will be registered again."
    elif owner.is_admin is False:
        problem = (
            "The API token's user is not an admin: what that user cannot see in Pipedrive is "
            "neither synced nor sent by the webhook."
        )
    return Report({name: shown.get(name) for name in SHOWN}, problem)


async def ensure(
    client: Pipedrive,
    conn: db.Connection,
    tenant: Tenant,
    url: str,
    *,
    takes_over: bool = False,
) -> Registered:
    """Bring it into the required state. One call at a time per company.

    Raises:
        PipedriveRefused: Pipedrive does not let us, in its own words, and what is missing.
    """
    with db.errors():
        link = await connection_store.link(conn, tenant.company_id)
    wanted = WantedHook(url, await client.owner(), digest(tenant))
    hooks = await listed(client)
    ours = [hook for hook in hooks if _is_ours(hook, link, url, takes_over=takes_over)]
    known = next((hook for hook in ours if link is not None and _id(hook) == link.hook_id), None)
    wrong = _reason(known, link, wanted)
    if known is None or wrong is not None:
        hook = await _made(client, conn, tenant, url, ours)
    else:
        hook = known
    hook_id = _id(hook)
    with db.errors():
        of = tenant.company_id
        async with conn.transaction():
            await connection_store.keep_hook(conn, of, hook_id, url, wanted.digest)
            await connection_store.keep_report(conn, of, hook_id, report(hook, wanted.owner))
            if wrong is not None:
                await connection_store.mended(conn, of)
    for stale in ours:
        if _id(stale) != hook_id:
            await _put_away(client, _id(stale))
    if wrong is not None:
        log.warning("hook_registered", extra={"hook_id": hook_id, "reason": wrong})
    return Registered(hook_id, wrong)


def _is_ours(hook: Hook, link: Link | None, url: str, *, takes_over: bool) -> bool:
    if hook.get("subscription_url") == url or (link is not None and _id(hook) == link.hook_id):
        return True
    return takes_over and hook.get("name") == NAME


def _reason(known: Hook | None, link: Link | None, wanted: WantedHook) -> Reason | None:
    """Why the webhook must be registered again; null if the known one is as it should be."""
    if known is None or link is None:
        return Reason.MISSING
    if link.hook_url != wanted.url or not _listens(known):
        return Reason.DIFFERENT
    if not _is_of(wanted.owner, known):
        return Reason.OWNER
    return None if link.hook_digest == wanted.digest else Reason.CREDENTIALS


def _is_of(owner: Owner, hook: Hook) -> bool:
    """Whether it belongs to the user, as far as both are known."""
    user_id = values.reference(hook.get("user_id"))
    return user_id is None or owner.user_id is None or user_id == owner.user_id


def _is_on(hook: Hook) -> bool:
    return values.flag(hook.get("is_active")) is True and not hook.get("remove_time")


def _listens(hook: Hook) -> bool:
    """The URL is not compared: it cannot change, and Pipedrive may normalize it."""
    return (
        _is_on(hook)
        and str(hook.get("version")) == VERSION
        and hook.get("event_action") == EVERYTHING
        and hook.get("event_object") == EVERYTHING
    )


def _id(hook: Hook) -> int:
    found = values.reference(hook.get("id"))
    return -1 if found is None else found


async def _made(
    client: Pipedrive, conn: db.Connection, tenant: Tenant, url: str, stale: Sequence[Hook]
) -> Hook:
    """Raises:
    PipedriveRefused: which is recorded, since nobody reads the answer to a check.
    """
    try:
        return await _with_room(client, tenant, url, stale)
    except PipedriveRefused as refused:
        with db.errors():
            await connection_store.keep_refusal(conn, tenant.company_id, refused.sentence)
        raise


async def _with_room(client: Pipedrive, tenant: Tenant, url: str, stale: Sequence[Hook]) -> Hook:
    """Stale ones that receive nothing anyway are deleted first."""
    room = sorted(stale, key=lambda hook: values.flag(hook.get("is_active")) is True)
    for hook in room:
        try:
            return await _register(client, tenant, url)
        except PipedriveRefused as refused:
            if not _is_limit(refused):
                raise
            log.warning("hook_makes_room", extra={"hook_id": _id(hook)})
            await _delete(client, _id(hook))
    return await _register(client, tenant, url)


def _is_limit(refused: PipedriveRefused) -> bool:
    """Whether it is the limit of 40 per user ("Webhooks limit reached")."""
    return refused.status == UNPROCESSABLE and "limit" in refused.sentence.lower()


async def _register(client: Pipedrive, tenant: Tenant, url: str) -> Hook:
    wanted = {
        "subscription_url": url,
        "event_action": EVERYTHING,
        "event_object": EVERYTHING,
        "version": VERSION,
        "http_auth_user": tenant.webhook_user,
        "http_auth_password": tenant.webhook_password.get_secret_value(),
        "name": NAME,
    }
    with _managing():
        made = await client.post(PATH, wanted)
    return made if isinstance(made, dict) else {}


@contextmanager
def _managing() -> Iterator[None]:
    """Says what is missing where the token may not manage webhooks at all."""
    try:
        yield
    except PipedriveRefused as refused:
        if refused.status not in NOT_ALLOWED:
            raise
        raise PipedriveRefused(refused.status, f"{NO_ADMIN} {refused.sentence}") from refused


async def _put_away(client: Pipedrive, hook_id: int) -> None:
    """A failure must not hide that ours has been made: what the other one still sends is refused,
    or comes twice.
    """
    try:
        await _delete(client, hook_id)
    except (PipedriveRefused, Unavailable) as trouble:
        log.warning("hook_stays", extra={"hook_id": hook_id, "reason": str(trouble)})


async def _delete(client: Pipedrive, hook_id: int) -> None:
    try:
        await client.delete(f"{PATH}/{hook_id}")
    except PipedriveRefused as refused:
        if refused.status == FORBIDDEN:  # another user's: duplicates do no harm
            log.warning("hook_stays", extra={"hook_id": hook_id, "reason": refused.sentence})
        elif refused.status != NOT_FOUND:  # already gone is fine
            raise

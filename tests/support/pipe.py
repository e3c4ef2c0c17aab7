"""Sends webhooks as Pipedrive does, and reads whole lists as a frontend would."""

import asyncio
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson

from tests.support import histories
from tests.support.cluster import Cluster, Instance
from tests.support.model import comparable, expected_pages
from tests.support.waiting import until

Body = dict[str, Any]
COMPANY = 7001
FOREIGN = 7002
SENDERS = 32
PAGE = 500
DEACTIVATED = "This user is deactivated in Pipedrive."


def password(company_id: int) -> str:
    return f"password-{company_id}"


def authorization(company_id: int, secret: str | None = None) -> str:
    """The header that Pipedrive sends for a company's webhook."""
    return aiohttp.encode_basic_auth(f"hook-{company_id}", secret or password(company_id))


def a_tenant(company_id: int) -> dict[str, Any]:
    return {
        **histories.tenant(company_id),
        "company_id": company_id,
        "webhook_user": f"hook-{company_id}",
        "webhook_password": password(company_id),
    }


def life(
    seed: int, events: int, company_id: int = COMPANY, *, ago: timedelta = timedelta(hours=1)
) -> list[Body]:
    """An eventful history of webhooks that ends a little before now, or long ago."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - ago
    return [body for _, body in histories.history(seed, events, company_id, now=now)]


def truth(company_id: int, bodies: Iterable[Body]) -> dict[str, list[dict[str, Any]]]:
    """What every user's list must be by now, but those of users who can read nothing any more."""
    tenant = a_tenant(company_id)
    now = datetime.now(UTC)
    return expected_pages(bodies, company_id=company_id, now=now, tenant=tenant)


async def push(
    cluster: Cluster, ingest: Instance, bodies: Iterable[Body], company_id: int = COMPANY
) -> list[int]:
    """Deliver the bodies with some concurrency; the status of each, in their order."""
    header = authorization(company_id)
    waiting = list(enumerate(bodies))
    waiting.reverse()
    statuses: dict[int, int] = {}

    async def sender() -> None:
        while waiting:
            number, body = waiting.pop()
            statuses[number] = await deliver(cluster, ingest, orjson.dumps(body), header)

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(sender())
    return [statuses[number] for number in sorted(statuses)]


async def deliver(cluster: Cluster, ingest: Instance, content: bytes, header: str | None) -> int:
    """One delivery, retried as Pipedrive would while nobody answers or the answer is not 2xx."""
    headers = {"Authorization": header} if header else {}
    async with asyncio.timeout(60):
        while True:
            try:
                async with cluster.http.post(
                    f"{ingest.url}/webhooks/pipedrive", data=io.BytesIO(content), headers=headers
                ) as response:
                    if response.status < 500:
                        return response.status
            except aiohttp.ClientError:
                pass  # the receiver is being killed: deliver again
            await asyncio.sleep(0.1)


class Deactivated(AssertionError):
    """Query knows the user as one who was deactivated in Pipedrive."""


async def whole_list(
    cluster: Cluster, query: Instance, company_id: int, user_id: str, filters: str = ""
) -> list[dict[str, Any]]:
    """All pages of a user's list, by cursor."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        url = f"{query.url}/api/my-500?limit={PAGE}{filters}{cursor}"
        status, body = await cluster.get(url, company_id, user_id)
        if status == 401 and body["error"] == DEACTIVATED:
            raise Deactivated(body)
        assert status == 200, body
        found += body["data"]["contacts"]
        following = body["data"]["pagination"]["nextCursor"]
        if following is None:
            return found
        cursor = f"&cursor={following}"


async def settled(
    cluster: Cluster,
    query: Instance,
    company_id: int,
    expected: Mapping[str, list[dict[str, Any]]],
    seconds: float = 60,
) -> None:
    """Wait until every user's list is what is expected, and say where it differs if never."""
    wanted = {user: [comparable(contact) for contact in page] for user, page in expected.items()}
    seen: dict[str, list[dict[str, Any]]] = {}

    async def is_settled() -> bool:
        for user in wanted:
            try:
                contacts = await whole_list(cluster, query, company_id, user)
            except Deactivated:  # as far as query has read: the next events may end that
                return False
            seen[user] = [comparable(contact) for contact in contacts]
        return seen == wanted

    try:
        await until(is_settled, seconds)
    except TimeoutError:
        raise AssertionError(differences(wanted, seen)) from None


def differences(
    wanted: Mapping[str, list[dict[str, Any]]], seen: Mapping[str, list[dict[str, Any]]]
) -> str:
    lines = []
    for user, page in wanted.items():
        by_id = {contact["id"]: contact for contact in seen.get(user, [])}
        lines.append(f"user {user}: {len(page)} contacts expected, {len(by_id)} seen")
        if [c["id"] for c in page] != [c["id"] for c in seen.get(user, [])]:
            lines.append("  the order differs")
        for contact in page:
            other = by_id.get(contact["id"], {})
            for name, value in contact.items():
                if other.get(name) != value:
                    person = contact["pipedrivePersonId"]
                    lines.append(
                        f"  {person} {name}: {value!r} expected, {other.get(name)!r} seen"
                    )
    return "\n".join(lines[:60])

"""A company cannot tell that another exists: not by an answer, a topic, a cache key or a row.

The other company has the same persons, organizations, users and names, and asks every service for
what is not its own. A route that is not named here fails the test.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from tests.security.test_door import everything_still_runs
from tests.security.world import (
    EVENTS,
    OURS,
    PARTITIONS,
    SEED,
    THEIRS,
    USER,
    Route,
    World,
    bearer,
    live,
    world,
)
from tests.support.pipe import a_tenant, authorization, deliver, life, settled, truth
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUIET_S = 0.5
SAMPLE = 25
ANOTHER = "31337"
"""A user whom nobody has logged out."""
EXPIRES = int(time.time()) + 86_400
"""One token for each user throughout: each has a session of its own."""
NOBODY = "00000000-0000-4000-8000-000000000000"
SEARCHES = ("a", "an", "corp", "gmbh", "acme", "zzzz", "+49", "@")
PASSING = re.compile(rb',"performance":\{[^}]*\}')
"""What an answer says of the moment it was given."""


@dataclass(frozen=True, slots=True)
class Known:
    """What one company can name of its own."""

    contacts: Sequence[str]
    organizations: Sequence[str]


Questions = Callable[[Known], Sequence[str]]
Writes = Callable[[Known], Sequence[tuple[str, Any]]]


def bare(_: Known) -> Sequence[str]:
    return ("",)


def of_each(*queries: str) -> Questions:
    return lambda _: [f"?{query}" for query in queries]


QUESTIONS: Mapping[tuple[str, str], Questions] = {
    ("ingest", "/api/sync"): bare,
    ("ingest", "/api/sync/{id}"): lambda _: (NOBODY,),
    ("ingest", "/api/connection"): bare,
    ("orgs", "/api/organizations/search"): of_each(*(f"q={q}&limit=50" for q in SEARCHES[:6])),
    ("orgs", "/api/organizations/reviews"): of_each("page=1", "page=2&limit=5"),
    ("orgs", "/api/organizations/merges"): bare,
    ("orgs", "/api/organizations/{id}"): lambda known: known.organizations,
    ("scoring", "/api/scoring/weights"): bare,
    ("scoring", "/api/scoring/weights/history"): bare,
    ("scoring", "/api/scores/{contactId}"): lambda known: known.contacts,
    ("scoring", "/api/scores/{contactId}/history"): lambda known: known.contacts,
    ("query", "/api/my-500"): of_each(
        "limit=500", "limit=7&page=2", "warmness=4-6", "inCampaign=true"
    ),
    ("query", "/api/contacts/{id}"): lambda known: known.contacts,
    ("query", "/api/organizations"): of_each("limit=100", "search=a"),
    ("query", "/api/stats"): bare,
    ("query", "/api/my-500/search"): of_each(*(f"q={q}&facets=true" for q in SEARCHES)),
    ("query", "/api/my-500/suggest"): of_each(*(f"q={q}" for q in SEARCHES)),
    ("query", "/api/me"): bare,
    ("query", "/api/sessions"): bare,
}
ENDLESS = {("query", "/api/my-500/stream")}
"""A stream has no whole answer to compare; what goes into it is compared as pages."""

WRITES: Mapping[tuple[str, str, str], Writes] = {
    ("ingest", "post", "/webhooks/pipedrive"): lambda _: (),
    ("ingest", "post", "/api/sync"): lambda _: [("", {})],
    ("ingest", "post", "/api/connection"): lambda _: [("", {})],
    ("ingest", "post", "/api/contacts"): lambda known: [
        ("", {"name": "Ann", "organizationId": known.organizations[0]}),
        ("", {"name": "Ann"}),
    ],
    ("ingest", "post", "/api/activities"): lambda known: [
        ("", {"contactId": known.contacts[0], "type": "call", "subject": "x", "done": True})
    ],
    ("ingest", "patch", "/api/contacts/{id}"): lambda known: [
        (known.contacts[0], {"name": "Stolen"})
    ],
    ("ingest", "post", "/api/campaign"): lambda known: [
        ("", {"contactIds": list(known.contacts[:5]), "addedToCampaign": True})
    ],
    ("orgs", "post", "/api/organizations"): lambda _: [("", {"name": "Acme"})],
    ("orgs", "post", "/api/organizations/merges"): lambda known: [
        ("", {"winnerId": known.organizations[0], "loserId": known.organizations[1]})
    ],
    ("orgs", "post", "/api/organizations/separations"): lambda known: [
        (
            "",
            {
                "organizationId": known.organizations[0],
                "recordIds": list(known.organizations[:1]),
            },
        )
    ],
    ("orgs", "post", "/api/organizations/merges/{id}/undo"): lambda _: [(f"{NOBODY}/undo", {})],
    ("orgs", "post", "/api/organizations/reviews/{id}"): lambda _: [
        (NOBODY, {"decision": "merge"})
    ],
    ("scoring", "post", "/api/scoring/weights"): lambda _: [
        ("?dryRun=true", {"base": {"email": 3}}),
        ("", {"base": {"email": 3}}),
    ],
    ("query", "delete", "/api/sessions/{id}"): lambda _: [(NOBODY, None)],
    ("query", "post", "/api/sessions/revoke"): lambda _: [("", {"userId": USER}), ("", {})],
}


@pytest.fixture(scope="module")
async def walled(infra: Any, tmp_path_factory: Any) -> AsyncIterator[World]:
    async with world(infra, tmp_path_factory.mktemp("tenants")) as made:
        yield made


async def lived(world: World, company_id: int) -> None:
    """The company's whole life has reached its pages and nothing moves any more."""
    await live(world, company_id)
    expected = truth(company_id, life(SEED, EVENTS, company_id))
    await settled(world.cluster, world.services["query"], company_id, expected)


async def known(world: World, company_id: int) -> Known:
    contacts, organizations = [], []
    for user in truth(company_id, life(SEED, EVENTS, company_id)):
        page = await get(world, "query", "/api/my-500?limit=500", bearer(company_id, user))
        for each in json.loads(page.partition(b" ")[2])["data"]["contacts"]:
            contacts.append(each["id"])
            organizations.append(each["organizationId"])
    named = {each for each in organizations if each}
    return Known(sorted(contacts)[:SAMPLE], sorted(named)[:SAMPLE])


async def get(world: World, service: str, path: str, headers: Mapping[str, str]) -> bytes:
    async with world.http.get(world.url(service, path), headers=headers) as response:
        body = await response.read()
        assert response.status < 500, (path, body)
        return b"%d %b" % (response.status, PASSING.sub(b"", body))


def addresses(route: Route, questions: Sequence[str]) -> Iterator[str]:
    before, bracket, after = route.path.partition("{")
    tail = after.partition("}")[2]
    for question in questions:
        yield before + question + (tail if bracket else "")


async def snapshot(world: World, company_id: int, about: Known) -> dict[str, bytes]:
    """Every answer that the company gets, as a user and as an administrator."""
    answers = {}
    for role in ("user", "admin"):
        headers = bearer(company_id, USER, role=role, exp=EXPIRES)
        for route in world.routes():
            key = (route.service, route.path)
            if route.method == "get" and key not in ENDLESS:
                for address in addresses(route, QUESTIONS[key](about)):
                    name = f"{role} {route.service} {address}"
                    answers[name] = await get(world, route.service, address, headers)
    return answers


async def resting(world: World, company_id: int, about: Known) -> dict[str, bytes]:
    """The answers once they have stopped to change."""
    seen: list[dict[str, bytes]] = [await snapshot(world, company_id, about)]

    async def is_the_same() -> bool:
        seen.append(await snapshot(world, company_id, about))
        return seen[-1] == seen[-2]

    try:
        await until(is_the_same, 30, every_s=QUIET_S)
    except TimeoutError:
        raise AssertionError(differences(seen[-2], seen[-1])) from None
    return seen[-1]


def differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """Each answer that is another one, around the first byte that is."""
    lines = []
    for name, old in before.items():
        if (new := after[name]) != old:
            at = next(
                n for n, (a, b) in enumerate(zip(old + b"\0", new + b"\1", strict=False)) if a != b
            )
            around = slice(max(0, at - 60), at + 60)
            lines.append(f"{name}\n  {old[around]!r}\n  {new[around]!r}")
    return "\n".join(lines)


async def intrude(world: World, about: Known) -> list[tuple[str, int]]:
    """The other company writes whatever there is to write, about what is not its own."""
    statuses = []
    headers = bearer(THEIRS, USER, role="admin")
    for route in world.routes():
        if route.method == "get":
            continue
        for tail, body in WRITES[route.service, route.method, route.path](about):
            path = route.path.partition("{")[0] + tail
            url = world.url(route.service, path)
            async with world.http.request(
                route.method, url, headers=headers, json=body
            ) as response:
                statuses.append((f"{route.method} {path}", response.status))
                assert response.status < 500, (path, await response.text())
    return statuses


def test_every_route_is_named_here(walled: World) -> None:
    routes = walled.routes()
    reads = {(r.service, r.path) for r in routes if r.method == "get"}
    writes = {(r.service, r.method, r.path) for r in routes if r.method != "get"}

    assert reads == set(QUESTIONS) | ENDLESS
    assert writes == set(WRITES)


async def test_a_company_sees_the_same_whether_another_exists_or_not(walled: World) -> None:
    await lived(walled, OURS)
    ours = await known(walled, OURS)
    alone = await resting(walled, OURS, ours)
    assert len(ours.contacts) > 20
    assert len(ours.organizations) > 5

    await lived(walled, THEIRS)
    theirs = await known(walled, THEIRS)
    statuses = await intrude(walled, ours)
    accompanied = await resting(walled, OURS, ours)

    assert not differences(alone, accompanied), differences(alone, accompanied)
    assert not {*ours.contacts} & {*theirs.contacts}
    assert not {*ours.organizations} & {*theirs.organizations}
    refused = {status for path, status in statuses if ours.contacts[0] in path or NOBODY in path}
    assert refused <= {400, 403, 404}
    await everything_still_runs(walled)


async def test_an_id_of_another_company_is_as_good_as_none(walled: World) -> None:
    ours = await known(walled, OURS)
    headers = bearer(THEIRS, ANOTHER, role="admin")
    for route in walled.routes():
        if route.method != "get" or "{" not in route.path:
            continue
        invented = next(addresses(route, [NOBODY]))
        nothing = await get(walled, route.service, invented, headers)
        assert nothing.startswith(b"404")
        for address in addresses(route, QUESTIONS[route.service, route.path](ours)):
            assert await get(walled, route.service, address, headers) == nothing, address


async def test_a_filter_by_what_another_company_has_finds_nothing(walled: World) -> None:
    ours = await known(walled, OURS)
    for organization_id in ours.organizations:
        path = f"/api/my-500?organizationId={organization_id}"
        page = await get(walled, "query", path, bearer(THEIRS, ANOTHER))
        assert b'"contacts":[]' in page or page.startswith(b"404"), page


async def test_a_webhook_of_another_company_is_refused(walled: World) -> None:
    content = json.dumps(life(SEED, EVENTS, OURS)[0]).encode()

    status = await deliver(
        walled.cluster, walled.services["ingest"], content, authorization(THEIRS)
    )

    assert status == 403


async def test_no_row_names_both_companies(walled: World) -> None:
    conn = await asyncpg.connect(walled.database_url)
    try:
        tables = await conn.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        seen = 0
        for table in tables:
            for row in await conn.fetch(f"SELECT t::text AS row FROM {table['name']} t"):  # noqa: S608  names of tables
                seen += str(OURS) in row["row"]
                assert not names_both(row["row"].encode()), (table["name"], row["row"])
    finally:
        await conn.close()
    assert seen > 500


async def test_no_record_in_a_topic_names_both_companies(walled: World) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=walled.cluster.environment["KAFKA_BOOTSTRAP_SERVERS"],
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        names = [n for n in await consumer.topics() if n.startswith(walled.topic_prefix)]
        parts = [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        seen = 0
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    whole = (record.key or b"") + b" " + (record.value or b"")
                    seen += str(OURS).encode() in whole
                    assert not names_both(whole), (record.topic, whole)
    finally:
        await consumer.stop()
    assert seen > EVENTS


async def test_no_key_in_redis_names_both_companies(walled: World) -> None:
    async with Redis.from_url(walled.redis_url) as redis:
        keys = [key async for key in redis.scan_iter()]
        for key in keys:
            value = await redis.dump(key)
            assert not names_both(key + (value or b"")), key
        assert any(str(OURS).encode() in key for key in keys)


def names_both(content: bytes) -> bool:
    return str(OURS).encode() in content and str(THEIRS).encode() in content


def test_the_two_companies_have_credentials_of_their_own() -> None:
    assert a_tenant(OURS)["webhook_password"] != a_tenant(THEIRS)["webhook_password"]

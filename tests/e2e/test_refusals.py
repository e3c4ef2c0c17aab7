"""Whoever may no longer ask is refused by every service, and nobody else is."""

import time
from typing import Any

import pytest

from shared import topics
from shared.events import dump
from shared.kafka.publisher import Publisher, Record
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.cluster import SERVICES, Cluster, Instance, token
from tests.support.infra import Infra
from tests.support.pipe import COMPANY, DEACTIVATED, FOREIGN, a_tenant
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NOBODY = "00000000-0000-4000-8000-000000000000"
READS = {
    "ingest": "/api/sync",
    "orgs": "/api/organizations/reviews",
    "scoring": f"/api/scores/{NOBODY}",
    "query": "/api/me",
}
WRITES = {
    "ingest": ("/api/contacts", "/api/activities", "/api/campaign", "/api/sync"),
    "orgs": ("/api/organizations",),
}
SERVED = {"ingest": 200, "orgs": 200, "scoring": 404, "query": 200}
REFUSED = dict.fromkeys(SERVICES, 401)


class Users:
    """Of two companies, at the four services."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster = cluster
        self.settings = settings
        self.services: dict[str, Instance] = {}

    async def ask(
        self, service: str, path: str, signed: str, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        method = "GET" if body is None else "POST"
        headers = {"Authorization": f"Bearer {signed}"}
        url = self.services[service].url + path
        async with self.cluster.http.request(method, url, headers=headers, json=body) as answer:
            return answer.status, await answer.json()

    async def everywhere(self, signed: str) -> dict[str, int]:
        return {name: (await self.ask(name, READS[name], signed))[0] for name in SERVICES}

    async def become(self, signed: str, expected: dict[str, int]) -> None:
        async def are() -> bool:
            return await self.everywhere(signed) == expected

        await until(are)

    async def tell(self, number: int, version: int, company: int = COMPANY, **data: Any) -> None:
        _, fact = facts.changed(
            topics.USERS, number, version, company_id=company, data=data or None
        )
        async with Publisher(self.settings, deadline_s=20) as publisher:
            await publisher.publish([Record(topics.USERS.name, fact.key, dump(fact))])


@pytest.fixture
async def users(cluster: Cluster, infra: Infra, topic_prefix: str) -> Users:
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=3
    )
    cluster.write_tenants([a_tenant(COMPANY), a_tenant(FOREIGN)])
    made = Users(cluster, settings)
    made.services = await cluster.start_all()
    return made


async def test_a_revoked_token_opens_no_service(users: Users) -> None:
    phone, laptop = (token(COMPANY, "7", jti=jti) for jti in ("phone", "laptop"))
    foreign = token(FOREIGN, "7", jti="phone")
    for signed in (phone, laptop, foreign):
        assert await users.everywhere(signed) == SERVED

    status, _ = await users.ask("query", "/api/sessions/revoke", laptop, {"jti": "phone"})

    assert status == 200
    await users.become(phone, REFUSED)
    for service, paths in WRITES.items():
        for path in paths:
            assert (await users.ask(service, path, phone, {}))[0] == 401, path
    assert await users.everywhere(laptop) == SERVED
    assert await users.everywhere(foreign) == SERVED


async def test_all_of_a_users_tokens_end_and_those_issued_later_do_not(users: Users) -> None:
    now = int(time.time())
    old = token(COMPANY, "7", iat=now - 60)
    colleague, foreign = token(COMPANY, "8", iat=now - 60), token(FOREIGN, "7", iat=now - 60)

    status, _ = await users.ask("query", "/api/sessions/revoke", old, {})

    assert status == 200
    await users.become(old, REFUSED)
    for signed in (token(COMPANY, "7", iat=now + 30), colleague, foreign):
        assert await users.everywhere(signed) == SERVED


async def test_a_deactivated_user_opens_no_service_until_active_again(users: Users) -> None:
    mine, colleague = token(COMPANY, "7"), token(COMPANY, "8")
    foreign = token(FOREIGN, "7")

    await users.tell(7, 2, name="Ann", active=False)
    await users.tell(7, 1, name="Ann", active=True)

    await users.become(mine, REFUSED)
    for service in SERVICES:
        _, said = await users.ask(service, READS[service], mine)
        assert said["error"] == DEACTIVATED
    assert await users.everywhere(colleague) == SERVED
    assert await users.everywhere(foreign) == SERVED

    await users.tell(7, 3, name="Ann", active=True)
    await users.become(mine, SERVED)

    await users.tell(7, 4)
    await users.become(mine, REFUSED)


async def test_a_process_that_starts_knows_who_is_refused_before_it_serves_users(
    users: Users,
) -> None:
    signed = token(COMPANY, "7")
    await users.tell(7, 1, name="Ann", active=False)
    await users.become(signed, REFUSED)

    for name in SERVICES:
        assert await users.services[name].stop() == 0
        users.services[name] = users.cluster.start(name)
        await users.cluster.ready(users.services[name])
        status, _ = await users.ask(name, READS[name], signed)
        assert status == 401, name

"""Users of ours act, Pipedrive has it, and they read their own writes at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.cluster import Cluster, Instance, token
from tests.support.double import Double, double
from tests.support.pipe import COMPANY, a_tenant, authorization, deliver
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SIZE = ("--contacts", "10", "--organizations", "5", "--burst", "0", "--daily-tokens", "0")
OWNER = "1001"
NOBODY = "00000000-0000-5000-8000-000000000000"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class Acting:
    """What a frontend does: writes to ingest, reads from query."""

    def __init__(self, cluster: Cluster, services: dict[str, Instance], pipedrive: Double) -> None:
        self.cluster = cluster
        self.services = services
        self.pipedrive = pipedrive

    async def send(
        self, method: str, path: str, body: Any, *, user: str = OWNER, **claims: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token(COMPANY, user, **claims)}"}
        url = self.services["ingest"].url + path
        async with self.cluster.http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def done(self, method: str, path: str, body: Any, **who: Any) -> Any:
        status, told = await self.send(method, path, body, **who)
        assert status in (200, 201), told
        return told["data"]

    async def page(self, after: str) -> dict[str, dict[str, Any]]:
        """The owner's contacts by id, once what was done is in them."""
        url = f"{self.services['query'].url}/api/my-500?limit=500&after={after}"
        told: Any = None

        async def is_shown() -> bool:
            nonlocal told
            status, told = await self.cluster.get(url, COMPANY, OWNER)
            assert status == 200, (told, after)
            return bool(told["performance"]["after"] == "shown")

        await until(is_shown)
        return {contact["id"]: contact for contact in told["data"]["contacts"]}


@asynccontextmanager
async def acting(cluster: Cluster, **ingest: str) -> AsyncIterator[Acting]:
    async with double(cluster.folder, COMPANY, *SIZE) as pipedrive:
        cluster.write_tenants([{**a_tenant(COMPANY), **pipedrive.tenant()}])
        services = {name: cluster.start(name) for name in ("orgs", "scoring", "query")}
        urls = {f"{name.upper()}_URL": one.url for name, one in services.items()}
        services["ingest"] = cluster.start("ingest", "api", **(urls | ingest))
        for instance in services.values():
            await cluster.ready(instance)
        await until(lambda: _has_kafka(cluster, services["ingest"]))
        yield Acting(cluster, services, pipedrive)


async def _has_kafka(cluster: Cluster, ingest: Instance) -> bool:
    """Until then what is done goes to the spool, and its answers name no position."""
    async with cluster.http.get(f"{ingest.url}/readyz") as response:
        return "degraded" not in await response.text()


async def test_users_read_their_own_writes(cluster: Cluster) -> None:
    async with acting(cluster) as users:
        made = await users.done(
            "POST",
            "/api/contacts",
            {"name": "Ann Other", "email": "ann@new.example", "organizationName": "New & Co"},
        )
        page = await users.page(made["after"])
        assert page[made["id"]]["name"] == "Ann Other"
        assert page[made["id"]]["email"] == "ann@new.example"

        call = await users.done(
            "POST",
            f"/api/activities?after={made['after']}",
            {"contactId": made["id"], "type": "call", "subject": "Hello", "done": True},
        )
        page = await users.page(call["after"])
        assert [each["id"] for each in page[made["id"]]["activities"]] == [call["id"]]

        joined = await users.done(
            "PATCH", f"/api/contacts/{made['id']}", {"addedToCampaign": True}
        )
        page = await users.page(joined["after"])
        assert page[made["id"]]["addedToCampaign"] is True
        assert next(iter(page)) == made["id"]

        left = await users.done(
            "POST", "/api/campaign", {"contactIds": [made["id"]], "addedToCampaign": False}
        )
        assert (await users.page(left["after"]))[made["id"]]["addedToCampaign"] is False

        person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
        organization = await users.pipedrive.ask("GET", f"/v2/organizations/{person['org_id']}")
        assert organization["name"] == "New & Co"


async def test_an_organization_is_made_in_pipedrive_once_for_many_contacts(
    cluster: Cluster,
) -> None:
    async with acting(cluster) as users:
        people = [
            await users.done(
                "POST", "/api/contacts", {"name": f"Person {n}", "organizationName": "NEW  co."}
            )
            for n in range(2)
        ]
        people.append(
            await users.done(
                "POST",
                "/api/contacts",
                {"name": "Person 3", "organizationId": people[0]["organizationId"]},
            )
        )

        rows = [
            await users.pipedrive.ask("GET", f"/v2/persons/{one['pipedrivePersonId']}")
            for one in people
        ]
        assert len({row["org_id"] for row in rows}) == 1

        survivor = f"{users.services['orgs'].url}/api/organizations/{people[0]['organizationId']}"

        async def is_linked() -> bool:
            page = await users.page(people[-1]["after"])
            _, told = await cluster.get(survivor, COMPANY, OWNER)
            linked = {page[one["id"]]["organizationId"] for one in people}
            return linked == {told["data"]["id"]} and told["data"]["contactCount"] == len(people)

        await until(is_linked)


async def test_only_ones_own_contacts_can_be_acted_on_but_by_an_admin(cluster: Cluster) -> None:
    async with acting(cluster) as users:
        made = await users.done("POST", "/api/contacts", {"name": "Mine"})
        await users.page(made["after"])
        path, body = f"/api/contacts/{made['id']}", {"addedToCampaign": True}

        foreign = await users.send("PATCH", path, body, user="1002")
        call = {"contactId": made["id"], "type": "call", "subject": "Hello"}
        foreign_call = await users.send("POST", "/api/activities", call, user="1002")
        admin = await users.send("PATCH", path, body, user="1002", role="admin")
        wrong_type = await users.send("POST", "/api/activities", {**call, "type": "séance"})

        assert [foreign[0], foreign[1]["code"]] == [404, "not_found"]
        assert [foreign_call[0], foreign_call[1]["code"]] == [404, "not_found"]
        assert admin[0] == 200
        assert [wrong_type[0], wrong_type[1]["code"]] == [422, "pipedrive_refused"]
        assert "activity type" in wrong_type[1]["error"]


async def test_a_page_from_elsewhere_may_call_the_users_endpoints_and_no_other(
    cluster: Cluster,
) -> None:
    async with acting(cluster) as users:
        url, headers = users.services["ingest"].url, {"Origin": "http://page.example"}
        asked, allowed = f"{url}/api/contacts/{NOBODY}", "Access-Control-Allow-Origin"
        async with cluster.http.options(asked, headers=headers) as preflight:
            methods = preflight.headers["Access-Control-Allow-Methods"]
            names = preflight.headers["Access-Control-Allow-Headers"]
        async with cluster.http.patch(asked, headers=headers, json={}) as refused:
            sentence = (await refused.json())["error"]
        async with cluster.http.post(f"{url}/webhooks/pipedrive", headers=headers) as webhook:
            pass

        assert (preflight.status, methods) == (204, "PATCH")
        assert names == "Authorization, Content-Type, Idempotency-Key"
        assert (refused.status, refused.headers[allowed]) == (401, "*")
        assert sentence
        assert (webhook.status, webhook.headers.get(allowed)) == (401, None)


async def test_the_webhook_door_does_without_the_store_of_the_commands(cluster: Cluster) -> None:
    async with acting(cluster, INGEST_DATABASE_URL=NOWHERE) as users:
        body = b'{"meta":{"entity":"note","entity_id":"1","action":"change"},"data":{"id":1}}'

        webhook = await deliver(cluster, users.services["ingest"], body, authorization(COMPANY))
        command = await users.send("POST", "/api/contacts", {"name": "Ann"})

        assert webhook == 200
        assert [command[0], command[1]["code"]] == [503, "unavailable"]

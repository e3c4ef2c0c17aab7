"""Users of ours act, Pipedrive has it, and they read their own writes at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from shared import ids
from tests.support import histories
from tests.support.cluster import Cluster, Instance, token
from tests.support.double import Double, double
from tests.support.pipe import COMPANY, a_tenant, authorization, deliver
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SIZE = ("--contacts", "10", "--organizations", "5", "--burst", "0", "--daily-tokens", "0")
OWNER = "1001"
NOBODY = "00000000-0000-5000-8000-000000000000"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
LONG_AGO = "UPDATE ingest.undertakings SET begun_at = begun_at - interval '11 minutes'"


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

    async def organizations_called(self, name: str) -> list[int]:
        """In Pipedrive."""
        newest = "sort_by=id&sort_direction=desc&limit=500"
        rows = await self.pipedrive.ask("GET", f"/v2/organizations?{newest}")
        return [row["id"] for row in rows if row["name"].lower() == name.lower()]

    async def lose_the_next_answer(self, path: str) -> None:
        """To a write, which is carried out."""
        lost = {"cut": 1.0, "after": 1.0, "methods": "POST", "paths": path, "at_most": 1}
        await self.pipedrive.turn("PATCH", "/faults", lost)

    async def of_orgs(self, body: Any) -> Any:
        """An organization that a user made there."""
        headers = {"Authorization": f"Bearer {token(COMPANY, OWNER)}"}
        url = self.services["orgs"].url + "/api/organizations"
        async with self.cluster.http.post(url, json=body, headers=headers) as response:
            assert response.status == 201, await response.text()
            return (await response.json())["data"]

    async def part(self, organization_id: str, record_id: UUID) -> None:
        """One record from the rest of its organization."""
        headers = {"Authorization": f"Bearer {token(COMPANY, OWNER)}"}
        url = self.services["orgs"].url + "/api/organizations/separations"
        body = {"organizationId": organization_id, "recordIds": [str(record_id)]}
        async with self.cluster.http.post(url, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()

    async def let_time_pass(self) -> None:
        """Until orgs must know by itself what was made in Pipedrive."""
        store = await asyncpg.connect(self.cluster.environment["DATABASE_URL"])
        try:
            await store.execute(LONG_AGO)
        finally:
            await store.close()

    async def tell(self, entity: str, row: dict[str, Any]) -> None:
        """By a webhook."""
        body = histories.a_webhook(company_id=COMPANY, entity=entity, data=row)
        header, ingest = authorization(COMPANY), self.services["ingest"]
        assert await deliver(self.cluster, ingest, orjson.dumps(body), header) == 200

    async def known_as(self, org_id: int) -> str:
        """The organization to which orgs says that a record in Pipedrive belongs."""
        organization_id = ids.organization(COMPANY, org_id)
        return await self.leads_to(organization_id)

    async def leads_to(self, organization_id: UUID | str) -> str:
        url = f"{self.services['orgs'].url}/api/organizations/{organization_id}"
        told: Any = None

        async def is_known() -> bool:
            nonlocal told
            status, told = await self.cluster.get(url, COMPANY, OWNER)
            return status == 200

        await until(is_known)
        return str(told["data"]["id"])

    async def stands_in(self, made: dict[str, Any]) -> dict[str, Any]:
        """The organization that the answer named, once it has the contact and one of Pipedrive."""
        url = f"{self.services['orgs'].url}/api/organizations/{made['organizationId']}"
        told: Any = None

        async def is_there() -> bool:
            nonlocal told
            status, told = await self.cluster.get(url, COMPANY, OWNER)
            contact = (await self.page(made["after"]))[made["id"]]
            assert status == 200, told
            return bool(
                told["data"]["pipedriveOrgId"] and contact["organizationId"] == told["data"]["id"]
            )

        await until(is_there)
        found: dict[str, Any] = told["data"]
        return found

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
async def acting(cluster: Cluster) -> AsyncIterator[Acting]:
    async with double(cluster.folder, COMPANY, *SIZE) as pipedrive:
        cluster.write_tenants([{**a_tenant(COMPANY), **pipedrive.tenant()}])
        services = {name: cluster.start(name) for name in ("orgs", "scoring", "query")}
        urls = {f"{name.upper()}_URL": one.url for name, one in services.items()}
        services["ingest"] = cluster.start("ingest", "api", **urls)
        for instance in services.values():
            await cluster.ready(instance)
        await until(lambda: _has_kafka(cluster, services["ingest"]))
        yield Acting(cluster, services, pipedrive)


@pytest.fixture(scope="module")
async def users(shared_cluster: Cluster) -> AsyncIterator[Acting]:
    """Shared by all who act under names of their own."""
    async with acting(shared_cluster) as made:
        yield made


async def _has_kafka(cluster: Cluster, ingest: Instance) -> bool:
    """Until then what is done goes to the spool, and its answers name no position."""
    async with cluster.http.get(f"{ingest.url}/readyz") as response:
        return "degraded" not in await response.text()


async def test_users_read_their_own_writes(users: Acting) -> None:
    made = await users.done(
        "POST",
        "/api/contacts",
        {"name": "Ann Other", "email": "ann@new.example", "organizationName": "New & Co"},
    )
    page = await users.page(made["after"])
    assert page[made["id"]]["name"] == "Ann Other"
    assert page[made["id"]]["email"] == "ann@new.example"
    assert page[made["id"]]["organization"]["name"] == "New & Co"

    call = await users.done(
        "POST",
        f"/api/activities?after={made['after']}",
        {"contactId": made["id"], "type": "call", "subject": "Hello", "done": True},
    )
    page = await users.page(call["after"])
    assert [each["id"] for each in page[made["id"]]["activities"]] == [call["id"]]

    joined = await users.done("PATCH", f"/api/contacts/{made['id']}", {"addedToCampaign": True})
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
    users: Acting,
) -> None:
    people = [
        await users.done(
            "POST", "/api/contacts", {"name": f"Person {n}", "organizationName": "NEWER  firm."}
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
        _, told = await users.cluster.get(survivor, COMPANY, OWNER)
        linked = {page[one["id"]]["organizationId"] for one in people}
        return linked == {told["data"]["id"]} and told["data"]["contactCount"] == len(people)

    await until(is_linked)


async def test_an_organization_that_stands_in_pipedrive_untold_is_not_made_again(
    users: Acting,
) -> None:
    there = await users.pipedrive.ask("POST", "/v2/organizations", {"name": "Here Before"})

    made = await users.done(
        "POST", "/api/contacts", {"name": "Ann", "organizationName": "here  BEFORE"}
    )

    person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
    assert person["org_id"] == there["id"]
    assert await users.organizations_called("Here Before") == [there["id"]]

    async def is_linked() -> bool:
        organization = (await users.page(made["after"]))[made["id"]]["organization"]
        return bool(organization and organization["pipedriveOrgId"] == str(there["id"]))

    await until(is_linked)


@pytest.mark.parametrize("is_told", [True, False])
async def test_an_organization_that_is_another_is_not_taken_for_the_one_asked_for(
    users: Acting, *, is_told: bool
) -> None:
    name = "Told Twin Ltd" if is_told else "Untold Twin Ltd"
    ours = await users.of_orgs({"name": name, "website": "https://ours.example"})
    theirs = await users.pipedrive.ask(
        "POST", "/v2/organizations", {"name": name, "website": "https://theirs.example"}
    )
    if is_told:
        await users.tell("organization", theirs)
        assert await users.known_as(theirs["id"]) != ours["id"]

    made = await users.done("POST", "/api/contacts", {"name": "Ann", "organizationId": ours["id"]})

    person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
    assert person["org_id"] != theirs["id"]
    assert len(await users.organizations_called(name)) == 2


async def test_a_contact_of_a_contested_name_stands_in_the_organization_of_the_answer(
    users: Acting,
) -> None:
    for website in ("acme.de", "acme.com"):
        row = {"name": "Acme", "website": f"https://{website}"}
        there = await users.pipedrive.ask("POST", "/v2/organizations", row)
        await users.tell("organization", there)
        await users.known_as(there["id"])

    people = []
    for name in ("Ann", "Bob"):
        made = await users.done(
            "POST", "/api/contacts", {"name": name, "organizationName": "Acme"}
        )
        people.append(made)
        await users.stands_in(made)
        await users.let_time_pass()

    rows = [
        await users.pipedrive.ask("GET", f"/v2/persons/{one['pipedrivePersonId']}")
        for one in people
    ]
    assert len({row["org_id"] for row in rows}) == 1
    assert len(await users.organizations_called("Acme")) == 3
    assert (await users.stands_in(people[0]))["contactCount"] == 2


async def test_a_record_that_people_set_apart_is_not_used_for_the_organization_any_more(
    users: Acting,
) -> None:
    ours = await users.of_orgs({"name": "Set Apart Ltd"})
    asked = {"name": "Ann", "organizationId": ours["id"]}
    first = await users.done("POST", "/api/contacts", asked)
    before = await users.stands_in(first)
    there = int(before["pipedriveOrgId"])
    await users.part(before["id"], ids.organization(COMPANY, there))
    assert await users.known_as(there) != await users.leads_to(ours["id"])

    made = await users.done("POST", "/api/contacts", asked)

    person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
    assert await users.organizations_called("Set Apart Ltd") == [person["org_id"], there]
    assert person["org_id"] != there


async def test_an_organization_deleted_unheard_is_no_more_once_a_contact_of_it_is_refused(
    users: Acting,
) -> None:
    there = await users.pipedrive.ask("POST", "/v2/organizations", {"name": "Left Us Ltd"})
    await users.tell("organization", there)
    ours = await users.known_as(there["id"])
    await users.pipedrive.ask("DELETE", f"/v2/organizations/{there['id']}")

    status, told = await users.send(
        "POST", "/api/contacts", {"name": "Ann", "organizationId": ours}
    )
    made = await users.done(
        "POST", "/api/contacts", {"name": "Ann", "organizationName": "Left Us Ltd"}
    )

    assert (status, told["error"]) == (404, "There is no such organization.")
    person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
    assert await users.organizations_called("Left Us Ltd") == [person["org_id"]]
    assert (await users.stands_in(made))["pipedriveOrgId"] == str(person["org_id"])


@pytest.mark.parametrize("is_long_ago", [True, False])
async def test_an_organization_that_a_user_made_and_pipedrive_has_no_more_is_made_again(
    users: Acting, *, is_long_ago: bool
) -> None:
    asked = {"name": "Ann", "organizationName": f"Back Again {is_long_ago}"}
    first = await users.done("POST", "/api/contacts", asked)
    before = await users.stands_in(first)
    await users.pipedrive.ask("DELETE", f"/v2/organizations/{before['pipedriveOrgId']}")
    if is_long_ago:
        await users.let_time_pass()

    made = await users.done("POST", "/api/contacts", asked)

    person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
    assert await users.organizations_called(asked["organizationName"]) == [person["org_id"]]

    async def is_there() -> bool:
        contact = (await users.page(made["after"]))[made["id"]]
        organization = contact["organization"] or {}
        return bool(organization.get("pipedriveOrgId") == str(person["org_id"]))

    await until(is_there)


async def test_a_contact_deleted_unheard_is_no_more_once_an_activity_with_it_is_refused(
    users: Acting,
) -> None:
    made = await users.done("POST", "/api/contacts", {"name": "Left Us, Too"})
    await users.page(made["after"])
    await users.pipedrive.ask("DELETE", f"/v2/persons/{made['pipedrivePersonId']}")

    status, told = await users.send(
        "POST", "/api/activities", {"contactId": made["id"], "type": "call", "subject": "Hello"}
    )

    assert (status, told["error"]) == (404, "Pipedrive has no such contact any more.")

    async def is_gone() -> bool:
        return made["id"] not in await users.page(made["after"])

    await until(is_gone)


async def test_whatever_was_made_without_an_answer_is_found_and_not_made_again(
    users: Acting,
) -> None:
    contact = {"name": "Lost and found", "organizationName": "Lost & Co"}
    for path in ("/v2/organizations", "/v2/persons"):
        await users.lose_the_next_answer(path)
        made = await users.done("POST", "/api/contacts", contact | {"name": f"Found of {path}"})
        person = await users.pipedrive.ask("GET", f"/v2/persons/{made['pipedrivePersonId']}")
        assert await users.organizations_called("Lost & Co") == [person["org_id"]]
        found = await users.pipedrive.ask("GET", f"/v2/persons?org_id={person['org_id']}")
        assert [row["name"] for row in found].count(person["name"]) == 1

    await users.lose_the_next_answer("/v2/activities")
    call = {"contactId": made["id"], "type": "call", "subject": "Hello", "done": True}
    logged = await users.done("POST", f"/api/activities?after={made['after']}", call)
    rows = await users.pipedrive.ask("GET", f"/v2/activities?person_id={person['id']}")
    assert [str(row["id"]) for row in rows] == [logged["id"]]


async def test_an_organization_without_a_letter_is_refused_under_the_name_it_was_given(
    users: Acting,
) -> None:
    status, told = await users.send(
        "POST", "/api/contacts", {"name": "Ann", "organizationName": "..."}
    )

    assert (status, told["code"]) == (400, "bad_request")
    assert told["error"] == "'organizationName': must contain a letter or a digit."


async def test_only_ones_own_contacts_can_be_acted_on_but_by_an_admin(users: Acting) -> None:
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
    users: Acting,
) -> None:
    headers, allowed = {"Origin": "http://page.example"}, "Access-Control-Allow-Origin"
    for service, method, path in (
        ("ingest", "PATCH", f"/api/contacts/{NOBODY}"),
        ("orgs", "POST", "/api/organizations"),
        ("scoring", "GET", f"/api/scores/{NOBODY}"),
        ("query", "GET", "/api/my-500"),
    ):
        asked = users.services[service].url + path
        async with users.cluster.http.options(asked, headers=headers) as preflight:
            methods = preflight.headers["Access-Control-Allow-Methods"]
        async with users.cluster.http.request(method, asked, headers=headers) as refused:
            sentence = (await refused.json())["error"]
        assert (preflight.status, preflight.headers[allowed]) == (204, "*")
        assert method in methods
        assert (refused.status, refused.headers[allowed]) == (401, "*")
        assert sentence
    url = users.services["ingest"].url
    async with users.cluster.http.post(f"{url}/webhooks/pipedrive", headers=headers) as webhook:
        pass

    assert (webhook.status, webhook.headers.get(allowed)) == (401, None)


async def test_the_webhook_door_does_without_the_store_of_the_commands(cluster: Cluster) -> None:
    async with double(cluster.folder, COMPANY, *SIZE) as pipedrive:
        cluster.write_tenants([{**a_tenant(COMPANY), **pipedrive.tenant()}])
        ingest = cluster.start("ingest", "api", INGEST_DATABASE_URL=NOWHERE)
        users = Acting(cluster, {"ingest": ingest}, pipedrive)
        await cluster.ready(ingest)
        body = b'{"meta":{"entity":"note","entity_id":"1","action":"change"},"data":{"id":1}}'

        webhook = await deliver(cluster, ingest, body, authorization(COMPANY))
        command = await users.send("POST", "/api/contacts", {"name": "Ann"})

        assert webhook == 200
        assert [command[0], command[1]["code"]] == [503, "unavailable"]

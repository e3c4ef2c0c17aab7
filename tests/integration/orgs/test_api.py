"""Finding, making and showing organizations, over HTTP, with two instances."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.orgs import applying
from services.orgs.main import SERVICE
from services.orgs.settings import OrgsSettings
from shared import db, ids, service, topics
from shared.events import (
    Action,
    OrganizationChange,
    dump,
    parse,
)
from shared.kafka.consumer import Consumer, Received
from shared.kafka.publisher import Publisher, Record
from tests.support import orgs_store
from tests.support.orgs_facts import OURS, THEIRS, a_person, an_org, bearer, records_in
from tests.support.orgs_store import Client, tell
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
async def instances(
    settings: OrgsSettings, pool: db.Pool, database_url: str
) -> AsyncIterator[Sequence[Client]]:
    async with AsyncExitStack() as held:
        clients = []
        for _ in range(2):
            own = await held.enter_async_context(
                db.pool(database_url, SERVICE, size=3, durable=False)
            )
            clients.append(await held.enter_async_context(orgs_store.asked(settings, own)))
        yield clients


@pytest.fixture
def client(instances: Sequence[Client]) -> Client:
    return instances[0]


async def post(client: Client, company_id: int = OURS, **body: Any) -> tuple[int, Any]:
    async with client.post(
        "/api/organizations", json=body, headers=bearer(company_id)
    ) as response:
        return response.status, await response.json()


async def get(client: Client, organization_id: object, company_id: int = OURS) -> tuple[int, Any]:
    path = f"/api/organizations/{organization_id}"
    async with client.get(path, headers=bearer(company_id)) as response:
        return response.status, await response.json()


async def test_what_is_not_there_is_made_and_then_found(client: Client) -> None:
    status, made = await post(client, name="Acme Corp.", industry="Toys", city="Bern")
    again, found = await post(client, name=" ACME corp")

    made_id = ids.made_organization(OURS, "acme corp")
    assert (status, again) == (201, 200)
    assert made["data"] == {
        "id": str(made_id),
        "name": "Acme Corp.",
        "normalizedName": "acme corp",
        "pipedriveOrgId": None,
        "industry": "Toys",
        "size": None,
        "website": None,
        "address": None,
        "country": None,
        "city": "Bern",
        "contactCount": 0,
        "lastActivity": None,
        "match": {
            "rule": "created",
            "reason": "No organization had the normalized name 'acme corp', so it was created.",
            "score": None,
            "evidence": [],
        },
    }
    assert found["data"]["id"] == str(made_id)
    assert found["data"]["match"]["rule"] == "normalized_name"


async def test_fifty_creators_over_two_instances_make_one(
    instances: Sequence[Client], pool: db.Pool, settings: OrgsSettings
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(post(instances[n % 2], name=f"Acme{'.' * (n % 7)} Corp"))
            for n in range(50)
        ]
    answers = [task.result() for task in tasks]

    assert Counter(status for status, _ in answers) == {201: 1, 200: 49}
    assert len({body["data"]["id"] for _, body in answers}) == 1
    assert await pool.fetchval("SELECT count(*) FROM organizations") == 1
    assert len(await records_in(settings, topics.APP_ORGANIZATIONS.name)) == 1


async def test_creators_whose_spellings_are_one_name_and_two_core_keys_make_one(
    instances: Sequence[Client], pool: db.Pool, settings: OrgsSettings
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(post(instances[n % 2], name=("Coca-Cola", "CocaCola")[n // 2 % 2]))
            for n in range(24)
        ]
    answers = [task.result() for task in tasks]

    assert Counter(status for status, _ in answers) == {201: 1, 200: 23}
    assert len(await records_in(settings, topics.APP_ORGANIZATIONS.name)) == 1
    assert await pool.fetchval("SELECT count(*) FROM organizations") == 1


async def test_creators_with_different_spellings_of_one_borne_out_name_make_one(
    instances: Sequence[Client], pool: db.Pool
) -> None:
    spellings = ("Müller Werkzeug GmbH", "Mueller-Werkzeug G.m.b.H.", "MÜLLER WERKZEUG gmbh")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                post(instances[n % 2], name=spellings[n % 3], website="https://mueller.de")
            )
            for n in range(24)
        ]
    answers = [task.result() for task in tasks]

    assert Counter(status for status, _ in answers) == {201: 1, 200: 23}
    assert len({body["data"]["id"] for _, body in answers}) == 1
    assert await pool.fetchval("SELECT count(*) FROM organizations WHERE NOT deleted") == 1


async def test_what_is_found_says_by_which_rule_and_evidence(
    client: Client, pool: db.Pool
) -> None:
    await tell(pool, an_org(7, "Zyntalis Biotech GmbH", website="https://zyntalis.com"))

    spelled = await post(client, name="ZYNTALIS-Biotech G.m.b.H.", website="zyntalis.com")
    alike = await post(client, name="Zyntalys Biotech GmbH", website="zyntalis.com")
    alone = await post(client, name="Zyntalys Biotech GmbH")

    assert [status for status, _ in (spelled, alike, alone)] == [200, 200, 201]
    assert spelled[1]["data"]["match"]["rule"] == "key_and_evidence"
    assert alike[1]["data"]["match"]["rule"] == "score"
    assert alike[1]["data"]["match"]["score"] >= 0.9
    assert alike[1]["data"]["match"]["evidence"] == ["Their web domain is the same."]
    assert alone[1]["data"]["match"]["rule"] == "created"


async def test_the_same_name_at_another_domain_is_made_beside_it_once(
    client: Client, pool: db.Pool
) -> None:
    _, first = await post(client, name="Acme", website="acme.de")

    status, second = await post(client, name="Acme", website="acme.fr")
    again, third = await post(client, name="ACME", website="www.acme.fr")

    assert (status, again) == (201, 200)
    assert second["data"]["match"]["reason"].startswith("Others have the normalized name 'acme'")
    assert first["data"]["id"] != second["data"]["id"] == third["data"]["id"]
    assert (await post(client, name="acme!", website="acme.de"))[1]["data"]["id"] == (
        first["data"]["id"]
    )


@pytest.mark.parametrize(
    ("known", "wanted", "is_found"),
    [
        ({"website": "acme.de"}, {"website": "acme.fr"}, False),
        ({"country": "DE"}, {"country": "France"}, False),
        ({"website": "acme.de"}, {"website": "www.acme.de"}, True),
        ({"website": "acme.de"}, {"country": "France"}, True),
        ({"website": "acme.de"}, {}, True),
    ],
)
async def test_what_pipedrive_knows_of_what_a_user_made_tells_whether_it_is_found(
    client: Client, pool: db.Pool, known: dict[str, str], wanted: dict[str, str], *, is_found: bool
) -> None:
    await post(client, name="Acme")
    await tell(pool, an_org(1, "Acme", **known))

    status, told = await post(client, name="Acme", **wanted)
    again, same = await post(client, name="Acme", **wanted)

    assert (status, again) == ((200, 200) if is_found else (201, 200))
    assert (told["data"]["id"] == str(ids.organization(OURS, 1))) is is_found
    assert same["data"]["id"] == told["data"]["id"]


async def test_what_a_user_made_of_a_contested_name_is_not_taken_for_who_has_the_domain(
    client: Client, pool: db.Pool
) -> None:
    await tell(pool, an_org(1, "Acme", website="acme.de"), an_org(2, "Acme", website="acme.com"))
    _, beside = await post(client, name="Acme")

    found = {
        website: (await post(client, name="Acme", website=website))[1]["data"]["id"]
        for website in ("acme.de", "acme.com", "")
    }

    assert found == {
        "acme.de": str(ids.organization(OURS, 1)),
        "acme.com": str(ids.organization(OURS, 2)),
        "": beside["data"]["id"],
    }


@pytest.mark.parametrize("known", ["in Pipedrive", "to a user"])
async def test_a_contested_name_alone_is_none_of_those_who_have_it_and_made_once(
    instances: Sequence[Client], pool: db.Pool, known: str
) -> None:
    if known == "in Pipedrive":
        await tell(pool, an_org(1, "Acme", website="acme.de"))
    else:
        await post(instances[0], name="Acme", website="acme.de")
    _, other = await post(instances[0], name="Acme", website="acme.com")

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(post(instances[n % 2], name="ACME")) for n in range(20)]
    answers = [each.result() for each in asked]

    assert Counter(status for status, _ in answers) == {201: 1, 200: 19}
    (beside,) = {body["data"]["id"] for _, body in answers}
    (made,) = (body["data"]["match"] for status, body in answers if status == 201)
    assert made["reason"].startswith("Others have the normalized name 'acme'")
    _, of_com = await post(instances[0], name="Acme", website="acme.com")
    _, of_de = await post(instances[0], name="Acme", website="acme.de")
    assert of_com["data"]["id"] == other["data"]["id"]
    assert len({beside, of_com["data"]["id"], of_de["data"]["id"]}) == 3
    assert await pool.fetchval("SELECT count(*) FROM records") == 3


async def test_what_is_made_of_a_name_contested_in_its_country_is_made_once(
    client: Client, pool: db.Pool
) -> None:
    for number, website in enumerate(("acme.fr", "acme.com"), 1):
        await tell(pool, an_org(number, "Acme", website=website, country="FR"))

    answers = [await post(client, name="Acme", country="France") for _ in range(3)]

    assert [status for status, _ in answers] == [201, 200, 200]
    assert len({body["data"]["id"] for _, body in answers}) == 1


async def test_a_name_alone_finds_the_one_that_a_user_made_with_a_domain(client: Client) -> None:
    _, made = await post(client, name="Acme", website="acme.de", country="DE")

    status, found = await post(client, name="ACME")

    assert (status, found["data"]["id"]) == (200, made["data"]["id"])
    assert found["data"]["match"]["rule"] == "normalized_name"


async def test_what_was_made_is_in_the_log_and_meeting_it_there_changes_nothing(
    client: Client, pool: db.Pool, settings: OrgsSettings
) -> None:
    await post(client, name="Acme", website="acme.example")
    await pool.execute("DELETE FROM outbox")
    (value,) = await records_in(settings, topics.APP_ORGANIZATIONS.name)

    await tell(pool, Received(topics.APP_ORGANIZATIONS.name, parse(OrganizationChange, value)))

    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_pipedrive_organization_of_the_name_is_found(
    client: Client, pool: db.Pool
) -> None:
    await tell(pool, an_org(7, "Acme"))

    status, found = await post(client, name="acme!")

    assert status == 200
    assert found["data"]["pipedriveOrgId"] == "7"


async def test_the_id_of_what_went_into_another_shows_the_survivor(
    client: Client, pool: db.Pool
) -> None:
    _, made = await post(client, name="Acme")
    await tell(pool, an_org(7, "Acme"), an_org(9, "Other"), an_org(5, "Fifth"))
    merge = {"action": Action.DELETE, "version": 2, "merged_into": "7"}
    await tell(pool, an_org(9, None, **merge))

    for past in (made["data"]["id"], ids.organization(OURS, 7), ids.organization(OURS, 9)):
        status, shown = await get(client, past)
        assert status == 200
        assert shown["data"]["id"] == str(ids.organization(OURS, 7))
        assert shown["data"]["name"] == "Acme"


async def test_a_deleted_organization_is_gone_unless_its_name_lives(
    client: Client, pool: db.Pool
) -> None:
    await tell(pool, an_org(7, "Acme"), an_org(9, "Acme"), an_org(5, "Fifth"))
    gone = {"action": Action.DELETE, "version": 2}
    await tell(pool, an_org(7, None, **gone), an_org(5, None, **gone))

    assert (await get(client, ids.organization(OURS, 5)))[0] == 404
    status, shown = await get(client, ids.organization(OURS, 7))
    assert status == 200
    assert shown["data"]["pipedriveOrgId"] == "9"


async def test_another_tenant_finds_nothing_of_ours(client: Client, pool: db.Pool) -> None:
    await tell(pool, an_org(7, "Acme"))

    assert (await get(client, ids.organization(OURS, 7), THEIRS))[0] == 404
    status, made = await post(client, THEIRS, name="Acme")

    assert status == 201
    assert made["data"]["id"] == str(ids.made_organization(THEIRS, "acme"))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "…"},
        {"name": "___"},
        {"name": "x" * 256},
        {"name": "a\x00b"},
        {"name": "Acme", "city": "\x00"},
        {"name": "Acme", "colour": "red"},
        {"name": 5},
    ],
)
async def test_a_body_that_cannot_be_is_refused_with_a_sentence(
    client: Client, body: dict[str, Any]
) -> None:
    status, refused = await post(client, **body)

    assert status == 400
    assert refused["success"] is False
    assert refused["error"].endswith(".")


async def test_strangers_and_malformed_ids_are_refused(client: Client) -> None:
    async with client.post("/api/organizations", json={"name": "Acme"}) as response:
        assert response.status == 401
    assert (await get(client, "not-a-uuid"))[0] == 400
    assert (await get(client, uuid4()))[0] == 404


async def test_the_worker_reads_the_log_and_queues_what_others_are_told(
    pool: db.Pool, settings: OrgsSettings
) -> None:
    person = a_person(3, 7).fact
    stop = asyncio.Event()

    async def is_linked() -> bool:
        return (
            await pool.fetchval("SELECT count(*) FROM contacts WHERE organization_id = $1", home)
            == 1
        )

    home: UUID = ids.organization(OURS, 7)
    await service.prepare_topics(settings, (topics.PERSONS, topics.ORGANIZATIONS), stop)
    async with Publisher(settings, deadline_s=5) as publisher:
        consumer = Consumer(
            settings,
            service=SERVICE,
            topics=(topics.PERSONS, topics.ORGANIZATIONS),
            pool=pool,
            apply=applying.apply,
            publisher=publisher,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            await publisher.publish(
                [
                    Record(topics.PERSONS.name, person.key, dump(person)),
                    Record(topics.ORGANIZATIONS.name, b"1", dump(an_org(7, "Acme").fact)),
                ]
            )
            await until(is_linked)
            stop.set()

    count = await pool.fetchval("SELECT contact_count FROM organizations")
    told = await pool.fetch("SELECT topic FROM outbox ORDER BY topic")
    assert count == 1
    assert [row["topic"] for row in told] == [
        topics.CONTACT_LINKS.name,
        topics.ORG_STATES.name,
    ]

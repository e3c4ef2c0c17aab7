"""Reviews, merges and taking them back, over HTTP against the real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.orgs import api, applying, candidate_store, closure, record_store, rederiving
from services.orgs.candidate_store import OF_A_WORD
from services.orgs.judging import asking
from services.orgs.main import MIGRATIONS, SERVICE
from services.orgs.settings import OrgsSettings
from shared import db, ids, service, topics
from shared.app import application
from shared.auth import Authenticator
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange, parse
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher
from tests.support.orgs_facts import (
    NOW,
    OURS,
    SECRET,
    THEIRS,
    a_person,
    an_activity,
    an_org,
    bearer,
    records_in,
)

pytestmark = pytest.mark.integration

Client = TestClient[Any, Any]


@pytest.fixture
def settings(infra: Any, database_url: str, topic_prefix: str) -> OrgsSettings:
    return OrgsSettings(
        DATABASE_URL=database_url,
        kafka_bootstrap_servers=infra.urls.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=2,
    )


@pytest.fixture
async def pool(settings: OrgsSettings, database_url: str) -> AsyncIterator[db.Pool]:
    stop = asyncio.Event()
    written = [topics.APP_ORGANIZATIONS, topics.APP_ORGANIZATION_VERDICTS]
    await service.prepare_topics(settings, written, stop)
    await service.prepare_store(database_url, SERVICE, MIGRATIONS, stop)
    async with db.pool(database_url, SERVICE, size=4, durable=False) as pool:
        yield pool


@pytest.fixture
async def client(settings: OrgsSettings, pool: db.Pool) -> AsyncIterator[Client]:
    async with Publisher(settings, deadline_s=5) as publisher:
        app = application(
            api.endpoints(pool, publisher),
            title="orgs",
            pings={},
            authenticator=Authenticator(SecretStr(SECRET), None),
        )
        async with TestClient(TestServer(app)) as client:
            yield client


async def tell(pool: db.Pool, *facts: Received) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await applying.apply(conn, facts)


async def ask(pool: db.Pool) -> None:
    while await asking.ask(pool):
        pass


async def get(client: Client, path: str, company_id: int = OURS) -> tuple[int, Any]:
    async with client.get(f"/api/organizations{path}", headers=bearer(company_id)) as response:
        return response.status, await response.json()


async def post(client: Client, path: str, company_id: int = OURS, **body: Any) -> tuple[int, Any]:
    async with client.post(
        f"/api/organizations{path}", json=body, headers=bearer(company_id)
    ) as response:
        return response.status, await response.json()


async def reviews(pool: db.Pool, client: Client) -> list[dict[str, Any]]:
    await ask(pool)
    status, body = await get(client, "/reviews")
    assert status == 200, body
    return body["data"]["reviews"]


async def home(client: Client, number: int) -> str:
    status, body = await get(client, f"/{ids.organization(OURS, number)}")
    assert status == 200, body
    return body["data"]["id"]


def org_id(number: int) -> str:
    return str(ids.organization(OURS, number))


def sides(review: dict[str, Any]) -> set[str]:
    return {review[side]["organization"]["id"] for side in ("winner", "loser")}


async def test_an_alike_name_is_asked_and_merged_by_the_answer(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics GmbH"), an_org(2, "Nordwind Logistic GmbH"))
    await tell(pool, a_person(5, 2), a_person(6, 2))

    (review,) = await reviews(pool, client)
    status, decided = await post(client, f"/reviews/{review['id']}", decision="merge")

    assert sides(review) == {org_id(1), org_id(2)}
    assert review["winner"]["organization"]["id"] == org_id(2)
    assert review["moves"] == {"contacts": 0, "records": 1}
    assert review["reasons"]
    assert any(one["name"] == "shared" for one in review["features"])
    assert status == 200, decided
    assert decided["data"]["organizationId"] == org_id(2)
    assert decided["data"]["organization"]["contactCount"] == 2
    assert await home(client, 1) == org_id(2)
    assert await reviews(pool, client) == []
    again, refused = await post(client, f"/reviews/{review['id']}", decision="merge")
    assert (again, refused["code"]) == (409, "already_decided")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("Zephyrion", "Zephyrion Shipping Brokerage Norway"),
        ("Zephirion Shipping", "Zephyrion Shipping Brokerage Norway"),
        ("Electr Gener", "Electricity Generating"),
        ("Charl Riv Lab", "Charles River Laboratories International"),
    ],
)
@pytest.mark.parametrize("is_short_first", [True, False])
async def test_names_that_share_a_rare_word_are_asked_about_however_unlike_as_a_whole(
    pool: db.Pool, client: Client, short: str, long: str, *, is_short_first: bool
) -> None:
    await tell(pool, an_org(1, short if is_short_first else long))
    await ask(pool)
    await tell(pool, an_org(2, long if is_short_first else short))

    (review,) = await reviews(pool, client)

    assert sides(review) == {org_id(1), org_id(2)}


async def test_a_word_that_many_have_makes_nobody_a_candidate(
    pool: db.Pool, client: Client
) -> None:
    crowd = [an_org(number, f"Zephyrion {number}") for number in range(1, OF_A_WORD + 2)]
    await tell(pool, *crowd)
    await pool.execute("UPDATE records SET unasked = false")

    await tell(pool, an_org(900, "Zephyrion Shipping Brokerage Norway"))

    assert await reviews(pool, client) == []


async def test_what_a_person_calls_distinct_is_not_asked_again(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics GmbH"), an_org(2, "Nordwind Logistic GmbH"))
    (review,) = await reviews(pool, client)

    status, _ = await post(client, f"/reviews/{review['id']}", decision="separate")
    await tell(pool, an_org(2, "Nordwind Logistic GmbH", version=2, website="nordwind.com"))

    assert status == 200
    assert await reviews(pool, client) == []
    assert await home(client, 2) == org_id(2)


async def test_one_name_with_two_domains_is_asked_not_merged(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Acme", website="acme.de"), an_org(2, "ACME", website="acme.fr"))
    await tell(pool, an_org(3, "Acme."))

    found = await reviews(pool, client)

    assert {await home(client, n) for n in (1, 2, 3)} == {org_id(1), org_id(2), org_id(3)}
    assert len(found) == 3
    contradicted = next(r for r in found if sides(r) == {org_id(1), org_id(2)})
    assert "Their web domains differ." in contradicted["reasons"]


async def test_a_question_tells_what_the_merge_would_bring_with_all_that_comes_by_it(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(2, "Acme", website="acme.de"), an_org(3, "Acme", website="acme.com"))
    await tell(pool, an_org(4, "Acme"), a_person(5, 3), a_person(6, 4), a_person(7, 2))

    (review,) = [
        one for one in await reviews(pool, client) if sides(one) == {org_id(2), org_id(3)}
    ]
    await post(client, f"/reviews/{review['id']}", decision="merge")

    assert review["winner"]["organization"]["id"] == org_id(2)
    assert review["moves"] == {"contacts": 2, "records": 2}
    assert {await home(client, number) for number in (2, 3, 4)} == {org_id(2)}


async def test_of_many_of_one_name_that_contradict_each_other_each_pair_is_asked_about(
    pool: db.Pool, client: Client
) -> None:
    countries = ("DE", "FR", "US", "IT", "ES", "PL", "SE", "JP", "BR")
    for number, country in enumerate(countries, 1):
        await tell(pool, an_org(number, name="Nine Lands", country=country))
    answered: list[frozenset[str]] = []
    while found := await reviews(pool, client):
        for review in found:
            await post(client, f"/reviews/{review['id']}", decision="separate")
            answered.append(frozenset(sides(review)))

    assert len(answered) == len(set(answered)) == 36


async def test_a_question_vanishes_when_it_is_moot(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Acme", website="acme.de"), an_org(2, "ACME", website="acme.fr"))
    assert len(await reviews(pool, client)) == 1

    await tell(pool, an_org(2, "ACME", version=2, website="acme.de"))

    assert await reviews(pool, client) == []
    assert await home(client, 2) == org_id(1)


async def test_a_merge_is_seen_before_it_is_done_and_can_be_taken_back(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha", website="alpha.com"), an_org(2, "Omega", city="Bern"))
    await tell(pool, an_org(3, "omega"), a_person(5, 2), a_person(6, 3), a_person(7, 1))
    wanted = {"winnerId": org_id(2), "loserId": org_id(1)}

    status, seen = await post(client, "/merges", **wanted, dryRun=True)
    assert status == 200, seen
    assert await home(client, 1) == org_id(1)
    done_status, done = await post(client, "/merges", **wanted, reason="same owners")

    assert seen["data"]["id"] is None
    assert seen["data"]["moves"] == {"contacts": 1, "records": 1}
    assert seen["data"]["organization"]["contactCount"] == 3
    assert seen["data"]["fields"]["website"] == {"value": "alpha.com", "recordId": org_id(1)}
    assert done_status == 200
    assert done["data"]["organization"] == seen["data"]["organization"]
    assert done["data"]["organization"]["id"] == org_id(2)
    assert done["data"]["organization"]["pipedriveOrgId"] == "2"
    assert await home(client, 1) == org_id(2)

    status, undone = await post(client, f"/merges/{done['data']['id']}/undo")
    again, _ = await post(client, f"/merges/{done['data']['id']}/undo")

    assert status == 200
    assert undone["data"]["together"] is False
    assert set(undone["data"]["organizationIds"]) == {org_id(1), org_id(2)}
    assert again == 409
    assert [await home(client, n) for n in (1, 2, 3)] == [org_id(1), org_id(2), org_id(2)]
    _, listed = await get(client, "/merges")
    (merge,) = listed["data"]["merges"]
    assert (merge["mergedBy"], merge["undoneBy"], merge["reason"]) == ("1", "1", "same owners")
    assert merge["undone"] is True


@pytest.mark.parametrize("winner", [2, 3])
@pytest.mark.parametrize(
    "newest", [{"person_id": 5}, {"person_id": 6}, {"org_id": 3}, {"org_id": 8}, {"person_id": 7}]
)
async def test_a_merge_is_shown_before_as_it_is_after(
    pool: db.Pool, client: Client, winner: int, newest: dict[str, int]
) -> None:
    """Also what stands with neither side before: 4, which is of their name, and its contact."""
    await tell(pool, an_org(2, "Acme", website="acme.de"), an_org(3, "Acme", website="acme.com"))
    await tell(pool, an_org(4, "Acme"), an_org(8, "Lost"))
    gone = {"version": 5, "action": Action.DELETE, "merged_into": "3"}
    await tell(pool, an_org(8, None, **gone))
    await tell(pool, a_person(5, 2), a_person(6, 3), a_person(7, 4), a_person(9, 8))
    day = timedelta(days=1)
    of_each = [{"person_id": 5}, {"org_id": 2}, {"person_id": 6}, newest]
    await tell(pool, *(an_activity(n, NOW + n * day, **of) for n, of in enumerate(of_each)))
    wanted = {"winnerId": org_id(winner), "loserId": org_id(5 - winner)}

    _, seen = await post(client, "/merges", **wanted, dryRun=True)
    _, done = await post(client, "/merges", **wanted)

    assert done["data"]["organization"]["lastActivity"] == "2026-01-04T00:00:00Z"
    assert done["data"]["organization"]["contactCount"] == 4
    told = {"id": done["data"]["id"], "dryRun": False}
    assert seen["data"] | told == done["data"]


@pytest.mark.parametrize("gone", [1, 2])
@pytest.mark.parametrize("before", [(record_store, "of_organization"), (closure, "block")])
@pytest.mark.parametrize("asks", ["merges", "reviews"])
async def test_what_is_deleted_while_a_user_judges_it_is_judged_no_more(
    pool: db.Pool,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    gone: int,
    before: tuple[Any, str],
    asks: str,
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)
    looks = getattr(*before)

    async def looks_too_late(*given: Any) -> Any:
        monkeypatch.undo()
        await tell(pool, an_org(gone, None, version=2, action=Action.DELETE))
        return await looks(*given)

    monkeypatch.setattr(*before, looks_too_late)

    status, refused = (
        await post(client, f"/reviews/{review['id']}", decision="merge")
        if asks == "reviews"
        else await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    )

    assert (status, refused["code"]) == (409, "changed_meanwhile")
    assert refused["error"] == "One of them was changed or deleted just now. Look at them again."
    assert await pool.fetchval("SELECT count(*) FROM verdicts") == 0


async def test_chains_of_merges_come_apart_in_any_order(pool: db.Pool, client: Client) -> None:
    await tell(pool, *(an_org(n, f"{word} Works") for n, word in enumerate("ABCD", 1)))
    merges = []
    for winner, loser in ((1, 2), (3, 1), (4, 3)):
        _, done = await post(client, "/merges", winnerId=org_id(winner), loserId=org_id(loser))
        merges.append(done["data"]["id"])
    assert {await home(client, n) for n in (1, 2, 3, 4)} == {org_id(4)}

    await post(client, f"/merges/{merges[1]}/undo")

    assert [await home(client, n) for n in (1, 2, 3, 4)] == [org_id(1)] * 2 + [org_id(4)] * 2
    await post(client, f"/merges/{merges[2]}/undo")
    assert [await home(client, n) for n in (1, 2, 3, 4)] == [org_id(n) for n in (1, 1, 3, 4)]
    _, undone = await post(client, f"/merges/{merges[0]}/undo")
    assert undone["data"]["together"] is False
    assert [await home(client, n) for n in (1, 2, 3, 4)] == [org_id(n) for n in (1, 2, 3, 4)]


async def test_the_winners_id_stays_whatever_comes_with_the_loser(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, *(an_org(n, f"{word} Works") for n, word in ((5, "A"), (7, "B"), (9, "C"))))
    await post(client, "/merges", winnerId=org_id(5), loserId=org_id(7))
    await tell(pool, an_org(6, "B Works"), an_org(3, "C Works"))
    assert await home(client, 6) == org_id(5)

    _, done = await post(client, "/merges", winnerId=org_id(3), loserId=org_id(5))
    await tell(pool, an_org(2, "C Works"))

    assert done["data"]["winnerId"] == done["data"]["organization"]["id"] == org_id(3)
    assert {await home(client, n) for n in (2, 3, 5, 6, 7, 9)} == {org_id(3)}


async def test_the_winners_id_stays_whichever_of_its_records_was_asked_about(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha Holding"), an_org(7, "Nordwind Logistics GmbH"))
    await tell(pool, a_person(10, 1))
    _, merged = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(7))
    await tell(pool, an_org(9, "Nordwind Logistics GmbH"), an_org(20, "Nordwind Logistic GmbH"))
    assert await home(client, 9) == org_id(1)
    (review,) = await reviews(pool, client)
    assert review["winner"]["organization"]["id"] == org_id(1)

    _, decided = await post(client, f"/reviews/{review['id']}", decision="merge")

    assert decided["data"]["organizationId"] == org_id(1)
    assert {await home(client, n) for n in (1, 7, 9, 20)} == {org_id(1)}
    await post(client, f"/merges/{merged['data']['id']}/undo")
    assert [await home(client, n) for n in (1, 7, 9, 20)] == [org_id(1), *[org_id(7)] * 3]
    await post(client, f"/merges/{decided['data']['verdictId']}/undo")
    assert [await home(client, n) for n in (7, 9, 20)] == [org_id(7), org_id(7), org_id(20)]


async def test_merges_into_an_organization_outlive_it(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "A Works"))
    await tell(pool, an_org(2, "Acme", website="acme.de"), an_org(3, "Acme", website="acme.fr"))
    for loser in (2, 3):
        await post(client, "/merges", winnerId=org_id(1), loserId=org_id(loser))

    await tell(pool, an_org(1, None, version=2, action=Action.DELETE))
    status, found = await post(client, "", name="Acme")

    assert [await home(client, n) for n in (2, 3)] == [org_id(2), org_id(2)]
    assert (status, found["data"]["id"]) == (200, org_id(2))
    assert await pool.fetchval("SELECT count(*) FROM records") == 3


async def test_a_verdict_outweighs_the_ones_before_it_whatever_the_clock_of_who_took_them(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), called_distinct(1, 2, 2**53))

    seen = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2), dryRun=True)
    done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    assert [status for status, _ in (seen, done)] == [200, 200]
    assert seen[1]["data"]["moves"] == done[1]["data"]["moves"] == {"contacts": 0, "records": 1}
    assert await home(client, 2) == org_id(1)


def called_distinct(one: int, other: int, version: int) -> Received:
    """As an instance would say it whose clock says so."""
    said = OrganizationVerdict(
        decision="distinct",
        left_records=(ids.organization(OURS, one),),
        right_records=(ids.organization(OURS, other),),
        decided_by=1,
    )
    change = dict(an_org(one, None).fact) | {
        "entity": "organization_verdict",
        "entity_id": str(UUID(int=version)),
        "version": version,
        "data": said,
    }
    return Received(topics.APP_ORGANIZATION_VERDICTS.name, OrganizationVerdictChange(**change))


async def test_merges_are_listed_by_when_they_were_said_undone_or_not(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, *(an_org(number, f"Org {'abc'[number - 1] * 9}") for number in (1, 2, 3)))
    merged = [
        (await post(client, "/merges", winnerId=org_id(1), loserId=org_id(number)))[1]["data"]
        for number in (2, 3)
    ]

    await post(client, f"/merges/{merged[0]['id']}/undo")

    _, listed = await get(client, "/merges")
    assert [one["id"] for one in listed["data"]["merges"]] == [
        merged[1]["id"],
        merged[0]["id"],
    ]


@pytest.mark.parametrize("names", [("Alpha", "Omega", "Beta"), ("Acme", "Acme", "Acme")])
@pytest.mark.parametrize("gone", [1, 2])
async def test_an_id_that_went_into_another_leads_on_when_its_record_is_deleted(
    pool: db.Pool, client: Client, names: tuple[str, ...], gone: int
) -> None:
    sites = ("acme.de", "acme.fr", "acme.com")
    told = zip(names, sites, strict=True)
    await tell(pool, *(an_org(n, name, website=site) for n, (name, site) in enumerate(told, 1)))
    merged = [
        (await post(client, "/merges", winnerId=org_id(1), loserId=org_id(number)))[1]["data"]
        for number in (2, 3)
    ]

    await tell(pool, an_org(gone, None, version=2, action=Action.DELETE))

    left = {1: 2, 2: 1}[gone]
    assert {await home(client, number) for number in (1, 2, 3)} == {org_id(left)}
    assert await led(pool, gone) == ids.organization(OURS, left)

    for merge in merged:
        await post(client, f"/merges/{merge['id']}/undo")
    assert (await get(client, f"/{org_id(gone)}"))[0] == 404
    assert await led(pool, gone) is None


async def led(pool: db.Pool, number: int) -> Any:
    """Where others are told that the id of an organization leads."""
    key = ids.organization(OURS, number)
    return await pool.fetchval(
        "SELECT merged_into FROM organizations WHERE organization_id = $1 AND deleted", key
    )


async def test_a_persons_merge_outweighs_what_was_said_before(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)
    _, said = await post(client, f"/reviews/{review['id']}", decision="separate")

    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    assert done["data"]["overrides"] == [said["data"]["verdictId"]]
    assert await home(client, 2) == org_id(1)
    await post(client, f"/merges/{done['data']['id']}/undo")
    assert await home(client, 2) == org_id(2)
    assert await reviews(pool, client) == []


async def test_a_merge_outlives_deletion_and_renaming_of_what_it_named(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), an_org(3, "Omega"))
    await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    await tell(pool, an_org(2, None, version=2, action=Action.DELETE))
    await tell(pool, an_org(3, "Renamed", version=3))

    assert await home(client, 3) == org_id(1)


@pytest.mark.parametrize("is_survivor_first", [True, False])
async def test_pipedrives_merge_takes_what_people_said_along(
    pool: db.Pool, client: Client, *, is_survivor_first: bool
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    told = [an_org(3, "Third"), an_org(2, None, version=5, action=Action.DELETE, merged_into="3")]
    for fact in told if is_survivor_first else reversed(told):
        await tell(pool, fact)

    assert await home(client, 3) == org_id(1)
    assert await home(client, 2) == org_id(1)


async def test_what_was_said_of_two_that_pipedrive_merged_since_neither_parts_nor_hides(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    await tell(pool, an_org(3, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)
    await post(client, f"/reviews/{review['id']}", decision="separate")

    gone = {"version": 5, "action": Action.DELETE, "merged_into": "2"}
    await tell(pool, an_org(1, None, **gone))
    assert {await home(client, n) for n in (1, 2, 3)} == {org_id(2)}

    await tell(pool, an_org(2, "Nordwind Logistic", version=6, website="nordwind.de"))
    await tell(pool, an_org(3, "Nordwind Logistic", version=6, website="nordwind.fr"))
    (contradicted,) = await reviews(pool, client)
    assert sides(contradicted) == {org_id(2), org_id(3)}


async def test_undoing_what_the_rules_hold_together_says_so(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    await tell(pool, an_org(2, "ALPHA", version=2))

    _, undone = await post(client, f"/merges/{done['data']['id']}/undo")

    assert undone["data"]["together"] is True
    assert undone["data"]["organizationIds"] == [org_id(1)]
    assert undone["data"]["reason"].startswith("The rules or another verdict hold them together")


async def test_what_was_made_in_pipedrive_for_one_of_a_contested_name_is_that_one(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Acme", website="acme.de"), an_org(2, "Acme", website="acme.com"))
    _, beside = await post(client, "", name="Acme")
    made_id = UUID(beside["data"]["id"])

    await tell(pool, an_org(9, "Acme"), a_person(5, 9), made_for(made_id, 9))
    _, shown = await get(client, f"/{made_id}")
    _, merges = await get(client, "/merges")
    (happened,) = shown["data"]["history"]
    _, undone = await post(client, f"/merges/{happened['verdictId']}/undo")

    assert (shown["data"]["id"], shown["data"]["contactCount"]) == (org_id(9), 1)
    assert [await home(client, number) for number in (1, 2)] == [org_id(1), org_id(2)]
    assert merges["data"]["merges"] == []
    assert undone["data"]["reason"] == "They are apart again."
    assert set(undone["data"]["organizationIds"]) == {org_id(9), str(made_id)}


async def test_what_was_made_for_one_of_ours_shows_that_it_was_renamed_in_pipedrive(
    pool: db.Pool, client: Client
) -> None:
    _, ours = await post(client, "", name="Amce", city="Bern")
    made_id = UUID(ours["data"]["id"])
    await tell(pool, an_org(9, "Amce"), made_for(made_id, 9))

    await tell(pool, an_org(9, "Acme", version=2**51, city="Basel"))

    _, shown = await get(client, f"/{made_id}")
    assert shown["data"]["id"] == org_id(9)
    assert (shown["data"]["name"], shown["data"]["city"]) == ("Acme", "Bern")


def made_for(organization_id: UUID, number: int) -> Received:
    """What a command says that made one in Pipedrive."""
    said = OrganizationVerdict(
        decision="same",
        left_records=(ids.organization(OURS, number), organization_id),
        right_records=(),
        decided_by=1,
    )
    change = dict(an_org(number, None).fact) | {
        "entity": "organization_verdict",
        "entity_id": str(ids.made_for(OURS, number, organization_id)),
        "data": said,
    }
    return Received(topics.APP_ORGANIZATION_VERDICTS.name, OrganizationVerdictChange(**change))


@pytest.mark.parametrize(("gone", "left"), [((2,), [1]), ((1,), [2]), ((1, 2), [])])
async def test_undoing_a_merge_of_which_a_side_was_deleted_since_says_so(
    pool: db.Pool, client: Client, gone: tuple[int, ...], left: list[int]
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    deleted = {"version": 2, "action": Action.DELETE}
    await tell(pool, *(an_org(number, None, **deleted) for number in gone))

    _, undone = await post(client, f"/merges/{done['data']['id']}/undo")

    assert undone["data"]["together"] is False
    assert undone["data"]["organizationIds"] == [org_id(number) for number in left]
    assert undone["data"]["reason"].startswith("Nothing is left to part")


async def test_undoing_a_merge_parts_what_pipedrive_merged_it_into(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), an_org(3, "Third"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    gone = {"version": 5, "action": Action.DELETE, "merged_into": "3"}
    await tell(pool, an_org(2, None, **gone))

    _, undone = await post(client, f"/merges/{done['data']['id']}/undo")

    assert undone["data"]["reason"] == "They are apart again."
    assert set(undone["data"]["organizationIds"]) == {org_id(1), org_id(3)}


async def test_a_store_made_anew_from_the_log_has_the_same_verdicts(
    pool: db.Pool, client: Client, settings: OrgsSettings
) -> None:
    facts = [an_org(n, f"{word} Works") for n, word in enumerate("ABC", 1)]
    await tell(pool, *facts)
    _, first = await post(client, "/merges", winnerId=org_id(3), loserId=org_id(1))
    _, second = await post(client, "/merges", winnerId=org_id(2), loserId=org_id(3))
    await post(client, f"/merges/{first['data']['id']}/undo")
    before = [await home(client, n) for n in (1, 2, 3)]
    topic = topics.APP_ORGANIZATION_VERDICTS.name
    said = [
        Received(topic, parse(OrganizationVerdictChange, value))
        for value in await records_in(settings, topic)
    ]
    tables = "records, organizations, aliases, verdicts, verdict_members, reviews, outbox"
    rows = await pool.fetch("SELECT * FROM verdicts ORDER BY verdict_id")

    await pool.execute(f"TRUNCATE {tables}")
    await tell(pool, *reversed(said))
    await tell(pool, *facts)

    assert before == [org_id(1), org_id(2), org_id(2)]
    assert [await home(client, n) for n in (1, 2, 3)] == before
    assert await pool.fetch("SELECT * FROM verdicts ORDER BY verdict_id") == rows
    assert second["data"]["id"] in {str(row["verdict_id"]) for row in rows}


NOBODY, NOBODY_ELSE = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/merges", {}, 400),
        ("/merges", {"winnerId": "x", "loserId": "y"}, 400),
        ("/merges", {"winnerId": str(NOBODY), "loserId": str(NOBODY_ELSE)}, 404),
        ("/merges", {"winnerId": org_id(1), "loserId": org_id(1)}, 409),
        ("/merges", {"winnerId": org_id(1), "loserId": org_id(1), "dryRun": "yes"}, 400),
        ("/merges?dryRun=true", {"winnerId": org_id(1), "loserId": org_id(1)}, 400),
        (f"/merges/{NOBODY}/undo", {}, 404),
        ("/merges/x/undo", {}, 400),
        (f"/reviews/{NOBODY}", {"decision": "merge"}, 404),
        (f"/reviews/{NOBODY}", {"decision": "perhaps"}, 400),
        ("/reviews/x", {"decision": "merge"}, 400),
    ],
)
async def test_what_cannot_be_is_refused_with_a_sentence(
    pool: db.Pool, client: Client, path: str, body: dict[str, Any], status: int
) -> None:
    await tell(pool, an_org(1, "Alpha"))

    answered, refused = await post(client, path, **body)

    assert (answered, refused["success"]) == (status, False)
    assert refused["error"].endswith(".")


async def test_empty_queues_are_empty_pages(client: Client) -> None:
    for path, name in (("/reviews", "reviews"), ("/merges", "merges")):
        status, body = await get(client, path)
        assert status == 200
        assert body["data"][name] == []
        assert body["data"]["pagination"]["total"] == 0
        assert (await get(client, f"{path}?page=0"))[0] == 400


async def test_another_tenant_sees_and_moves_nothing_of_ours(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    for path, body in (
        ("/merges", {"winnerId": org_id(1), "loserId": org_id(2)}),
        (f"/merges/{done['data']['id']}/undo", {}),
        (f"/reviews/{review['id']}", {"decision": "separate"}),
    ):
        assert (await post(client, path, THEIRS, **body))[0] == 404
    for path in ("/reviews", "/merges"):
        _, theirs = await get(client, path, THEIRS)
        assert theirs["data"]["pagination"]["total"] == 0


async def test_two_users_answer_one_question_once(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(post(client, f"/reviews/{review['id']}", decision=decision))
            for decision in ("merge", "separate", "merge")
        ]
    statuses = sorted(task.result()[0] for task in tasks)

    assert statuses == [200, 409, 409]
    assert await pool.fetchval("SELECT count(*) FROM verdicts") == 1


async def test_an_organization_tells_its_names_its_records_and_its_history(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha", website="alpha.com"), an_org(2, "Omega", city="Bern"))
    await tell(pool, an_org(2, "Omega Works", version=5), an_org(3, "Third"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2), reason="why")
    gone = {"version": 9, "action": Action.DELETE, "merged_into": "1"}
    await tell(pool, an_org(3, None, **gone))

    _, body = await get(client, f"/{org_id(3)}")

    shown = body["data"]
    assert shown["id"] == org_id(1)
    assert {alias["name"] for alias in shown["aliases"]} == {"Alpha", "Third", "Omega"}
    assert {source["pipedriveOrgId"]: source["fields"] for source in shown["sources"]} == {
        "2": ["name", "city"],
        "1": ["website"],
        "3": [],
    }
    assert shown["name"] == "Omega Works"
    assert [source["living"] for source in shown["sources"]] == [True, True, False]
    kinds = [each["kind"] for each in shown["history"]]
    assert sorted(kinds) == ["merged", "merged_in_pipedrive", "renamed"]
    merged = next(each for each in shown["history"] if each["kind"] == "merged")
    assert (merged["by"], merged["reason"]) == ("1", "why")
    assert merged["verdictId"] == done["data"]["id"]


async def test_who_made_an_organization_is_told_and_what_was_typed_counts_most(
    pool: db.Pool, client: Client
) -> None:
    _, made = await post(client, "", name="Acme", city="Bern")
    await tell(pool, an_org(1, "ACME", version=2**50, city="Basel", website="acme.com"))

    _, body = await get(client, f"/{made['data']['id']}")

    assert body["data"]["id"] == org_id(1)
    assert (body["data"]["city"], body["data"]["name"]) == ("Bern", "Acme")
    assert body["data"]["website"] == "acme.com"
    assert {s["madeBy"]: s["fields"] for s in body["data"]["sources"]} == {
        "1": ["name", "city"],
        None: ["website"],
    }


async def test_a_former_name_is_asked_about_and_never_links(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Zanzibar Ferries"))
    await tell(pool, an_org(1, "Quantum Boats", version=2), an_org(2, "Zanzibar Ferries"))

    (review,) = await reviews(pool, client)

    assert sides(review) == {org_id(1), org_id(2)}
    assert "One had the other's name before." in review["reasons"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_names_of_what_pipedrive_merged_away_are_asked_about_beside_what_it_became(
    pool: db.Pool, client: Client, order: tuple[int, ...]
) -> None:
    told = (
        (an_org(1, "Zanzibar Ferries"), an_org(2, "Quantum Boats")),
        (an_org(1, None, version=5, action=Action.DELETE, merged_into="2"),),
        (an_org(3, "Zanzibar Ferries"),),
    )
    for number in order:
        await tell(pool, *told[number])
        await ask(pool)

    (review,) = await reviews(pool, client)

    assert sides(review) == {org_id(2), org_id(3)}
    assert "One had the other's name before." in review["reasons"]


async def test_a_name_that_is_told_late_of_what_was_merged_away_is_asked_about(
    pool: db.Pool, client: Client
) -> None:
    away = an_org(1, "Omega", version=5, action=Action.DELETE, merged_into="2")
    await tell(pool, an_org(2, "Quantum Boats"), an_org(3, "Zanzibar Ferries"), away)
    assert await reviews(pool, client) == []

    await tell(pool, an_org(1, "Zanzibar Ferries"))

    (review,) = await reviews(pool, client)
    assert sides(review) == {org_id(2), org_id(3)}


async def test_what_is_told_late_while_a_record_is_looked_at_is_looked_at_again(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Quantum Boats", version=2), an_org(2, "Zanzibar Ferries"))

    async with pool.acquire() as conn, conn.transaction():
        looked_at = await candidate_store.unasked(conn, -1, 10)
        await tell(pool, an_org(1, "Zanzibar Ferries"))
        await candidate_store.asked(conn, looked_at)

    (review,) = await reviews(pool, client)
    assert sides(review) == {org_id(1), org_id(2)}


async def test_who_was_back_at_what_it_was_is_asked_about_once_more(
    pool: db.Pool, client: Client
) -> None:
    was = ("Zanzibar Ferries", "zanzibar.com")
    bodies = [was, ("Quantum Boats", "quantum.io"), was, ("Cobalt Mines", "cobalt.io")]
    counts: list[int] = []
    for version, (name, website) in enumerate(bodies, start=1):
        await tell(pool, an_org(1, name, website=website, version=version))
        found = await reviews(pool, client)
        counts.append(len(found))
        for review in found:
            status, _ = await post(client, f"/reviews/{review['id']}", decision="merge")
            assert status == 200

    assert counts == [0, 1, 0, 1]


async def test_a_record_whose_name_and_domain_changed_is_asked_about_until_it_is_answered(
    pool: db.Pool, client: Client
) -> None:
    was = an_org(1, "Zanzibar Ferries", website="zanzibar.com")
    now = an_org(1, "Quantum Boats", website="https://quantum.io", version=2)
    await tell(pool, was)
    assert await reviews(pool, client) == []

    await tell(pool, now)
    (review,) = await reviews(pool, client)
    status, answered = await post(client, f"/reviews/{review['id']}", decision="merge")

    assert review["kind"] == "renamed"
    assert review["reasons"] == [
        "Renamed, or was its id reused? Name and domain both changed.",
        "It was 'Zanzibar Ferries' at zanzibar.com.",
    ]
    assert sides(review) == {org_id(1)}
    assert review["winner"]["record"]["name"] == "Quantum Boats"
    assert review["loser"]["record"]["name"] == "Zanzibar Ferries"
    assert review["loser"]["record"]["website"] == "zanzibar.com"
    assert review["moves"] == {"contacts": 0, "records": 0}
    assert status == 200, answered
    assert answered["data"]["organizationId"] == org_id(1)
    assert await reviews(pool, client) == []
    again, refused = await post(client, f"/reviews/{review['id']}", decision="separate")
    assert (again, refused["code"]) == (409, "already_decided")
    _, merges = await get(client, "/merges")
    assert merges["data"]["merges"] == []
    _, details = await get(client, f"/{org_id(1)}")
    assert {one["kind"] for one in details["data"]["history"]} == {"renamed", "confirmed"}

    undone, _ = await post(client, f"/merges/{answered['data']['verdictId']}/undo")
    assert undone == 200
    assert [one["id"] for one in await reviews(pool, client)] == [review["id"]]


async def test_whether_an_id_was_reused_is_asked_whatever_came_first(
    pool: db.Pool, client: Client
) -> None:
    was = an_org(1, "Zanzibar Ferries", website="zanzibar.com")
    now = an_org(1, "Quantum Boats", website="quantum.io", version=3)
    await tell(pool, now)
    assert await reviews(pool, client) == []

    await tell(pool, was)
    (review,) = await reviews(pool, client)
    assert review["kind"] == "renamed"

    await tell(pool, an_org(1, "Quantum Boats", website="zanzibar.com", version=2))
    assert await reviews(pool, client) == []


async def test_a_reused_id_leaves_those_whom_only_people_held_it_with(
    pool: db.Pool, client: Client
) -> None:
    await tell(
        pool,
        an_org(1, "Zanzibar Ferries", website="zanzibar.com"),
        an_org(2, "Zanzibar Shipping"),
        a_person(5, 2),
    )
    await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    await tell(pool, an_org(2, "Zanzibar Lines", website="zanzibar.net", version=2))
    await tell(pool, an_org(2, "Quantum Boats", website="quantum.io", version=3))
    assert await home(client, 2) == org_id(1)

    renamed = [one for one in await reviews(pool, client) if one["kind"] == "renamed"]
    status, answered = await post(client, f"/reviews/{renamed[0]['id']}", decision="separate")

    assert len(renamed) == 1
    assert status == 200, answered
    assert await home(client, 2) == org_id(2)
    assert await home(client, 1) == org_id(1)
    assert [one for one in await reviews(pool, client) if one["kind"] == "renamed"] == []
    _, details = await get(client, f"/{org_id(2)}")
    assert details["data"]["contactCount"] == 1
    assert "reused" in {one["kind"] for one in details["data"]["history"]}


async def test_a_reused_id_takes_nobody_along(pool: db.Pool, client: Client) -> None:
    site = {"website": "zanzibar.com"}
    await tell(pool, an_org(1, "Zanzibar Ferries", **site), an_org(2, "Zanzibar Ferries", **site))
    await tell(pool, an_org(3, "Omega"))
    await post(client, "/merges", winnerId=org_id(1), loserId=org_id(3))
    await tell(pool, an_org(2, "Quantum Boats", website="quantum.io", version=2))
    assert {await home(client, n) for n in (1, 2, 3)} == {org_id(1)}

    (renamed,) = [one for one in await reviews(pool, client) if one["kind"] == "renamed"]
    await post(client, f"/reviews/{renamed['id']}", decision="separate")

    assert [await home(client, n) for n in (1, 2, 3)] == [org_id(1), org_id(2), org_id(1)]


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_record_that_leaves_as_it_changes_is_asked_about_beside_those_it_left(
    pool: db.Pool, client: Client, batches: int
) -> None:
    await tell(pool, an_org(1, "Acme", website="acme.de"), an_org(2, "Acme"))
    assert await home(client, 2) == org_id(1)
    await ask(pool)

    facts = [an_org(3, "Acme", website="acme.fr"), an_org(2, "Acme", version=2, address="Kai 1")]
    for batch in ([facts], [facts[:1], facts[1:]])[batches - 1]:
        await tell(pool, *batch)

    asked = {frozenset(sides(review)) for review in await reviews(pool, client)}
    assert asked == {frozenset(map(org_id, pair)) for pair in ((1, 2), (1, 3), (2, 3))}


async def test_keys_that_other_code_derived_are_derived_anew(
    pool: db.Pool, client: Client
) -> None:
    site = {"website": "zyntalis.com"}
    await tell(pool, an_org(1, "Zyntalis GmbH", **site), an_org(2, "The Zyntalis GmbH", **site))
    await pool.execute(
        "UPDATE records SET keys_version = 0, core_key = NULL, domain = NULL, telling = NULL, "
        "organization_id = record_id, unasked = false"
    )

    derived = await rederiving.rederive(pool)

    assert derived == 2
    assert await home(client, 2) == org_id(1)
    assert await rederiving.rederive(pool) == 0


async def call_apart(pool: db.Pool, client: Client) -> None:
    """7 and 9, of one name."""
    await tell(pool, an_org(7, "Acme", website="acme.de"), an_org(9, "Acme", website="acme.fr"))
    (review,) = await reviews(pool, client)
    await post(client, f"/reviews/{review['id']}", decision="separate")


async def delete_without_its_domain(pool: db.Pool) -> None:
    """So that nothing but what was said keeps 7 from 9."""
    await tell(pool, an_org(7, "Acme", website="", version=2))
    await tell(pool, an_org(7, None, version=3, action=Action.DELETE))


async def test_the_id_of_a_deleted_organization_does_not_lead_to_one_called_another(
    pool: db.Pool, client: Client
) -> None:
    await call_apart(pool, client)
    await delete_without_its_domain(pool)

    status, _ = await get(client, f"/{org_id(7)}")
    sql = "SELECT merged_into FROM organizations WHERE organization_id = $1"
    assert status == 404
    assert await pool.fetchval(sql, UUID(org_id(7))) is None


async def test_the_id_of_a_deleted_organization_leads_to_its_namesake_again_once_it_may(
    pool: db.Pool, client: Client
) -> None:
    """A newer merge outweighs that they were called apart."""
    await call_apart(pool, client)
    merged, _ = await post(client, "/merges", winnerId=org_id(9), loserId=org_id(7))
    await delete_without_its_domain(pool)

    assert merged == 200
    assert await home(client, 7) == org_id(9)


async def test_the_id_of_a_deleted_organization_does_not_lead_to_another_domain(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(7, "Acme", website="acme.de"), an_org(9, "Acme", website="acme.fr"))

    await tell(pool, an_org(7, None, version=2, action=Action.DELETE))
    assert (await get(client, f"/{org_id(7)}"))[0] == 404

    await tell(pool, an_org(9, "Acme", version=2, website="www.acme.de"))
    assert await home(client, 7) == org_id(9)


async def test_the_import_of_one_company_leaves_the_questions_of_another_their_turn(
    pool: db.Pool,
) -> None:
    companies = (OURS, OURS + 1, OURS + 2)
    await tell(pool, *(an_org(n, f"Firm {n}", company_id=companies[0]) for n in range(40)))
    await tell(pool, *(an_org(n, f"Firm {n}", company_id=companies[1]) for n in range(12)))
    await tell(pool, *(an_org(n, f"Firm {n}", company_id=companies[2]) for n in range(3)))
    sql = "SELECT company_id, count(*) FROM records WHERE unasked GROUP BY company_id"
    waiting: list[list[int]] = []
    turn = asking.Turn()

    while await asking.ask(pool, 10, turn):
        left = dict(await pool.fetch(sql))
        waiting.append([left.get(company_id, 0) for company_id in companies])

    assert waiting == [
        [30, 12, 3], [30, 2, 3], [30, 2, 0], [20, 2, 0],
        [20, 0, 0], [10, 0, 0], [0, 0, 0],
    ]  # fmt: skip


async def test_two_tenants_alike_in_everything_cannot_tell_that_the_other_exists(
    pool: db.Pool, client: Client
) -> None:
    """Every route of ours answers the same with and without the other tenant's doings."""

    async def life(company_id: int) -> None:
        of = {"company_id": company_id}
        await tell(pool, an_org(1, "Nordwind Logistics", website="nordwind.com", **of))
        await tell(pool, an_org(2, "Nordwind Logistic", **of), an_org(3, "Third", **of))
        await tell(pool, a_person(5, 1, **of), a_person(6, 3, **of))
        await ask(pool)

    async def seen() -> list[Any]:
        paths = ["/reviews", "/merges", *(f"/{org_id(number)}" for number in (1, 2, 3))]
        return [await get(client, path) for path in paths]

    await life(OURS)
    alone = await seen()
    await life(THEIRS)
    _, theirs = await get(client, "/reviews", THEIRS)
    (review,) = theirs["data"]["reviews"]
    ends = [str(ids.organization(THEIRS, number)) for number in (1, 3)]
    await post(client, f"/reviews/{review['id']}", THEIRS, decision="merge")
    await post(client, "/merges", THEIRS, winnerId=ends[0], loserId=ends[1])
    await ask(pool)

    assert await seen() == alone


def test_ids_in_tests_are_as_the_service_makes_them() -> None:
    assert UUID(org_id(1)) == ids.organization(OURS, 1)

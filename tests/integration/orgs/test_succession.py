"""Where an id leads whose record was deleted, reused, or merged away in Pipedrive."""

from typing import Any
from uuid import UUID

import pytest

from services.orgs import record_store
from shared import db, ids, topics
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange
from shared.kafka.consumer import Received
from tests.support.orgs_facts import OURS, a_person, an_org
from tests.support.orgs_judging import get, home, org_id, post, reviews, sides
from tests.support.orgs_store import Client, tell
from tests.support.plans import plans

pytestmark = pytest.mark.integration


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


NAMESAKES = """
INSERT INTO records (company_id, record_id, pipedrive_org_id, version, rank, event_id, deleted,
                     name, normalized_name, name_key, organization_id)
SELECT $1::bigint, md5('r' || n)::uuid, n, 1, 0, 'e', n <= $2::int, 'Private', 'private',
       md5('private')::uuid, CASE WHEN n > $2 THEN md5('r' || ($2 + 1))::uuid END
  FROM generate_series(1, 2 * $2::int) AS n
"""


async def test_of_a_name_that_thousands_had_who_has_it_is_looked_up_once(pool: db.Pool) -> None:
    many = 300
    await pool.execute(NAMESAKES, OURS, many)
    rows = await pool.fetch("SELECT company_id, record_id FROM records WHERE deleted")
    gone = [(row["company_id"], row["record_id"]) for row in rows]

    ran = await plans(pool, lambda conn: record_store.successors(conn, gone))

    assert sum(plan.through for plan in ran) <= 10 * many
    found = await record_store.successors(pool, gone)
    assert {each.named for each in found.values()} == {
        await pool.fetchval("SELECT DISTINCT organization_id FROM records WHERE NOT deleted")
    }


async def led(pool: db.Pool, number: int) -> Any:
    """Where others are told that the id of an organization leads."""
    key = ids.organization(OURS, number)
    return await pool.fetchval(
        "SELECT merged_into FROM organizations WHERE organization_id = $1 AND deleted", key
    )


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
    assert undone["data"]["reason"] == "They are separate again."
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

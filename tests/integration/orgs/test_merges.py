"""Merges of organizations by users, and taking them back."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.orgs import closure, record_store
from services.orgs.judging.saying import JUDGE_LOCK_SPACE
from services.orgs.settings import OrgsSettings
from shared import db, ids, locks, topics
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange, parse
from shared.kafka.consumer import Received
from tests.support.orgs_facts import (
    NOW,
    OURS,
    THEIRS,
    a_person,
    an_activity,
    an_org,
    bearer,
    records_in,
)
from tests.support.orgs_judging import ask, get, home, org_id, post, reviews
from tests.support.orgs_store import POOL_SIZE, Client, tell
from tests.support.waiting import until

pytestmark = pytest.mark.integration

IS_HELD_UP = """
SELECT count(*) > 0
  FROM pg_locks
  JOIN pg_database ON pg_database.oid = pg_locks.database
 WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
"""


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
    path = f"/api/organizations/merges/{done['data']['id']}/undo"
    async with client.post(path, headers=bearer(OURS, 2)) as response:
        again = response.status

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
    assert refused["error"] == "One of them was just changed or deleted. Review them again."
    assert await pool.fetchval("SELECT count(*) FROM verdicts") == 0


async def test_who_waits_for_a_turn_to_judge_leaves_connections_to_others(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, *(an_org(number, f"Works {number}") for number in range(2 * POOL_SIZE)))

    async def is_held_up() -> bool:
        found: bool = await pool.fetchval(IS_HELD_UP)
        return found

    async with asyncio.TaskGroup() as group, pool.acquire() as conn, conn.transaction():
        await locks.hold(conn, JUDGE_LOCK_SPACE, [OURS])
        merging = [
            group.create_task(
                post(client, "/merges", winnerId=org_id(n), loserId=org_id(n + POOL_SIZE))
            )
            for n in range(POOL_SIZE)
        ]
        async with asyncio.timeout(10):
            await until(is_held_up)
            status, _ = await get(client, f"/{org_id(1)}", THEIRS)
    assert status == 404
    assert [task.result()[0] for task in merging] == [200] * POOL_SIZE


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


async def test_undoing_what_the_rules_hold_together_says_so(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    await tell(pool, an_org(2, "ALPHA", version=2))

    _, undone = await post(client, f"/merges/{done['data']['id']}/undo")

    assert undone["data"]["together"] is True
    assert undone["data"]["organizationIds"] == [org_id(1)]
    assert undone["data"]["reason"].startswith("The rules or another verdict still hold them")


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
    assert undone["data"]["reason"].startswith("Nothing is left to separate")


async def test_undoing_a_merge_parts_what_pipedrive_merged_it_into(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), an_org(3, "Third"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))
    gone = {"version": 5, "action": Action.DELETE, "merged_into": "3"}
    await tell(pool, an_org(2, None, **gone))

    _, undone = await post(client, f"/merges/{done['data']['id']}/undo")

    assert undone["data"]["reason"] == "They are separate again."
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

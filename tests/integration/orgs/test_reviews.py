"""What is asked of users about organizations, and what their answers do."""

import asyncio
from datetime import timedelta
from itertools import permutations

import pytest

from services.orgs import applying, candidate_store, record_store, rederiving, snapshot
from services.orgs.candidate_store import OF_A_WORD
from services.orgs.judging import asking
from shared import db, ids
from shared.events import Action
from tests.support.orgs_facts import OURS, a_person, an_org, bearer
from tests.support.orgs_judging import ask, get, home, org_id, post, reviews, sides
from tests.support.orgs_store import Client, tell
from tests.support.waiting import until

pytestmark = pytest.mark.integration

IS_HELD_UP = """
SELECT EXISTS (SELECT
                 FROM pg_locks
                WHERE relation = 'organizations'::regclass AND NOT granted)
"""


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
    again, refused = await post(client, f"/reviews/{review['id']}", decision="separate")
    assert (again, refused["code"]) == (409, "already_decided")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("Zephyrion", "Zephyrion Shipping Brokerage Norway"),
        ("Zephirion Shipping", "Zephyrion Shipping Brokerage Norway"),
        ("Electr Gener", "Electricity Generating"),
        ("Charl Riv Lab", "Charles River Laboratories International"),
        ("ZQMW", "Zephyrion Quayside Motor Works"),
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


async def test_two_users_answer_one_question_once(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)

    path = f"/api/organizations/reviews/{review['id']}"

    async def answered_by(user_id: int) -> int:
        said, who = {"decision": "merge"}, bearer(OURS, user_id)
        async with client.post(path, json=said, headers=who) as response:
            return response.status

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(answered_by(user_id)) for user_id in (1, 2, 3)]
    statuses = sorted(task.result() for task in tasks)

    assert statuses == [200, 409, 409]
    assert await pool.fetchval("SELECT count(*) FROM verdicts") == 1


async def test_who_moves_while_it_is_looked_at_is_not_asked_about_beside_itself(
    pool: db.Pool,
) -> None:
    await tell(pool, an_org(2, "Zephyrion"))
    async with pool.acquire() as conn, conn.transaction():
        key = OURS, ids.organization(OURS, 2)
        read = await record_store.load(conn, [key])
        await tell(pool, an_org(1, "Zephyrion"))

        found = await candidate_store.near(conn, list(read.values()))

    assert {profile.ref for profile in found[key]} == {ids.organization(OURS, 1).hex}


async def test_a_page_of_questions_is_of_one_moment(pool: db.Pool, client: Client) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics GmbH"), an_org(2, "Nordwind Logistic GmbH"))
    await ask(pool)

    async def is_held_up() -> bool:
        found: bool = await pool.fetchval(IS_HELD_UP)
        return found

    async with asyncio.TaskGroup() as group, pool.acquire() as conn, conn.transaction():
        await conn.execute("LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE")
        reading = group.create_task(get(client, "/reviews"))
        await until(is_held_up)
        await applying.apply(conn, [an_org(2, None, version=2, action=Action.DELETE)])

    status, body = reading.result()
    assert status == 200, body
    assert len(body["data"]["reviews"]) == body["data"]["pagination"]["total"] == 1


async def test_who_reckons_between_reads_is_not_taken_for_frozen(pool: db.Pool) -> None:
    waits = "SELECT current_setting('idle_in_transaction_session_timeout')::interval"

    async with snapshot.of(pool) as conn:
        within = await conn.fetchval(waits)

    assert within == timedelta(milliseconds=db.STATEMENT_TIMEOUT_MS)
    assert await pool.fetchval(waits) < within


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

    stop = asyncio.Event()
    derived = await rederiving.rederive(pool, stop)

    assert derived == 2
    assert await home(client, 2) == org_id(1)
    assert await rederiving.rederive(pool, stop) == 0


async def test_what_older_code_derives_meanwhile_is_derived_anew(
    pool: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rederiving, "AGAIN_S", 0.1)
    await tell(pool, an_org(1, "Zyntalis GmbH"))
    stop = asyncio.Event()

    async def is_derived() -> bool:
        return await pool.fetchval("SELECT keys_version > 0 AND NOT unasked FROM records")

    async with asyncio.TaskGroup() as group:
        group.create_task(asking.Asker(pool).run(stop))
        try:
            await until(is_derived, 10)
            await pool.execute("UPDATE records SET keys_version = 0")
            await until(is_derived, 10)
        finally:
            stop.set()


async def test_who_derives_anew_stops_when_told_to(pool: db.Pool) -> None:
    await tell(pool, an_org(1, "Zyntalis GmbH"))
    await pool.execute("UPDATE records SET keys_version = 0")
    stop = asyncio.Event()
    stop.set()

    assert await rederiving.rederive(pool, stop) == 0
    assert await pool.fetchval("SELECT keys_version FROM records") == 0


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

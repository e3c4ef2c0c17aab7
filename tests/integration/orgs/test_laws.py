"""Whatever the order, the duplicates and the batches: the same organizations, links and counts."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.orgs import applying, contact_store, relinking
from services.orgs.judging import asking, review_store
from shared import db, topics
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange, parse
from shared.kafka.consumer import Received
from shared.states import ContactLink, OrganizationState
from tests.support.orgs_facts import a_person, an_org
from tests.support.orgs_histories import COMPANIES, history, matching_history, shuffled
from tests.support.orgs_truth import SHOWN, Truth, truth

pytestmark = pytest.mark.integration

SUMMED = (*SHOWN, "pipedrive_org_id", "contact_count", "last_activity")
TABLES = (
    "records, organizations, contacts, activities, merges, outbox, aliases, verdicts, "
    "verdict_members, reviews, domains"
)
ROWS = {
    "records": "SELECT * FROM records ORDER BY company_id, record_id",
    "contacts": "SELECT * FROM contacts ORDER BY company_id, person_id",
    "activities": "SELECT * FROM activities ORDER BY company_id, activity_id",
    "aliases": "SELECT * FROM aliases ORDER BY company_id, record_id, name_key",
    "domains": "SELECT * FROM domains ORDER BY company_id, record_id, domain",
    "verdicts": "SELECT * FROM verdicts ORDER BY company_id, verdict_id",
    "verdict_members": "SELECT * FROM verdict_members ORDER BY company_id, record_id, verdict_id",
    "merges": "SELECT * FROM merges ORDER BY company_id, kind, loser",
    "organizations": (
        "SELECT * FROM organizations WHERE NOT deleted ORDER BY company_id, organization_id"
    ),
}


async def told(pool: db.Pool, batches: Iterable[Sequence[Received]]) -> None:
    async with pool.acquire() as conn:
        for batch in batches:
            async with conn.transaction():
                await applying.apply(conn, batch)


async def everything(pool: db.Pool) -> dict[str, list[dict[str, Any]]]:
    """All rows but what is said to grow: the published versions."""
    found = {}
    for name, statement in ROWS.items():
        rows = [dict(row) for row in await pool.fetch(statement)]
        found[name] = [{k: v for k, v in row.items() if k != "published"} for row in rows]
    return found


async def forget(pool: db.Pool) -> None:
    await pool.execute(f"TRUNCATE {TABLES}")


async def published(pool: db.Pool) -> tuple[Truth, dict[Any, Any]]:
    """What the outside knows, as nothing relays here: the last state of every key."""
    known = Truth()
    gone = {}
    for row in await pool.fetch("SELECT topic, payload FROM outbox"):
        if row["topic"] == topics.ORG_STATES.name:
            state = parse(OrganizationState, row["payload"])
            key = (state.company_id, state.organization_id)
            if state.deleted:
                gone[key] = state.merged_into
                assert state.contact_count == 0
            else:
                known.organizations[key] = {name: getattr(state, name) for name in SUMMED}
        else:
            link = parse(ContactLink, row["payload"])
            if link.organization_id is not None:
                known.links[link.company_id, link.person_id] = link.organization_id
    return known, gone


@pytest.mark.parametrize("life", [history, matching_history])
@pytest.mark.parametrize("seed", range(18))
async def test_any_order_any_duplicates_any_batches_end_in_the_truth(
    pool: db.Pool, seed: int, life: Callable[[int, int], list[Received]]
) -> None:
    facts = life(seed, (30, 80, 200)[seed % 3])
    expected = truth(facts)
    seen = []

    for order in range(4):
        await forget(pool)
        await told(pool, shuffled(facts, order) if order else [facts])
        seen.append(await everything(pool))
        known, gone = await published(pool)

        assert known.organizations == expected.organizations
        assert known.links == expected.links
        assert gone.keys() <= expected.leads_to.keys() - expected.organizations.keys()
        leads = {key: into for key, into in gone.items() if into is not None}
        assert leads == {
            key: into
            for key, into in expected.leads_to.items()
            if into is not None and key not in expected.organizations
        }
    for rows in seen[1:]:
        assert rows == seen[0]
    assert {
        (row["company_id"], row["person_id"]): UUID(bytes=row["organization_id"].bytes)
        for row in seen[0]["contacts"]
        if row["organization_id"]
    } == expected.links


@pytest.mark.parametrize("seed", range(8))
async def test_contacts_that_follow_their_organizations_by_parts_end_in_the_truth(
    pool: db.Pool, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(contact_store, "AT_ONCE", 1 + seed % 2)
    monkeypatch.setattr(contact_store, "RECORDS_AT_ONCE", 2)
    facts = history(seed, 150)
    expected = truth(facts)

    parts = 0
    for batch in shuffled(facts, seed):
        await told(pool, [batch])
        parts += await relinking.relink(pool) is not None
    while await relinking.relink(pool) is not None:
        parts += 1

    known, _ = await published(pool)
    assert parts
    assert known.organizations == expected.organizations
    assert known.links == expected.links
    assert await relinking.settled(pool)


@pytest.mark.parametrize("seed", range(8))
async def test_merges_that_are_taken_back_leave_all_as_it_was_and_lose_no_contact(
    pool: db.Pool, seed: int
) -> None:
    facts = [each for each in matching_history(seed, 120) if each.fact.action is not Action.DELETE]
    await told(pool, [facts])
    await told(pool, [[a_contact(number, number % 8 + 1) for number in range(100, 130)]])
    before, linked = await everything(pool), await linked_contacts(pool)
    living = {
        row["record_id"]
        for row in before["records"]
        if row["company_id"] == COMPANIES[0] and row["organization_id"] is not None
    }
    rng = Random(seed)  # noqa: S311  which records are called the same
    pairs = [rng.sample(sorted(living), 2) for _ in range(4)]

    for number, pair in enumerate(pairs):
        await told(pool, [[a_merge(number, pair)]])
        assert await linked_contacts(pool) == linked
    for number in rng.sample(range(4), 4):
        await told(pool, [[a_withdrawal(number)]])
        assert await linked_contacts(pool) == linked

    after = await everything(pool)
    assert linked > 0
    for name, rows in after.items():
        if not name.startswith("verdict"):
            assert unstamped(rows) == unstamped(before[name])


def unstamped(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whom a record resembles is looked at anew, which tells nothing of where it belongs."""
    return [{name: value for name, value in row.items() if name != "unasked"} for row in rows]


async def linked_contacts(pool: db.Pool) -> int:
    """How many contacts organizations have, by the contacts and by the organizations' counts."""
    linked = await pool.fetchval(
        "SELECT count(*) FROM contacts WHERE organization_id IS NOT NULL AND NOT deleted"
    )
    counted = await pool.fetchval("SELECT sum(contact_count) FROM organizations WHERE NOT deleted")
    assert linked == counted
    return int(linked)


def a_contact(person_id: int, org_id: int) -> Received:
    return a_person(person_id, org_id, company_id=COMPANIES[0])


def a_merge(number: int, pair: Sequence[UUID]) -> Received:
    left, right = ((UUID(bytes=each.bytes),) for each in pair)
    said = OrganizationVerdict(
        decision="same", left_records=left, right_records=right, decided_by=1
    )
    return _a_verdict(number, 2**40 + number, said)


def a_withdrawal(number: int) -> Received:
    return _a_verdict(number, 2**41 + number, OrganizationVerdict(withdrawn=True))


def _a_verdict(number: int, version: int, said: OrganizationVerdict) -> Received:
    change = dict(an_org(1, None, company_id=COMPANIES[0]).fact) | {
        "event_id": f"said-{version}",
        "entity": "organization_verdict",
        "entity_id": str(UUID(int=100 + number)),
        "version": version,
        "data": said,
    }
    return Received(topics.APP_ORGANIZATION_VERDICTS.name, OrganizationVerdictChange(**change))


async def test_a_tenant_cannot_tell_that_another_is_there(pool: db.Pool) -> None:
    facts = matching_history(5, 200)
    ours = [received for received in facts if received.fact.company_id == COMPANIES[0]]
    await told(pool, shuffled(ours, 1))
    alone = await everything(pool)

    await forget(pool)
    await told(pool, shuffled(facts, 2))

    together = await everything(pool)
    for name, rows in together.items():
        assert [row for row in rows if row["company_id"] == COMPANIES[0]] == alone[name]


@pytest.mark.parametrize("seed", range(6))
async def test_the_questions_to_people_do_not_tell_the_order_of_arrival(
    pool: db.Pool, seed: int
) -> None:
    facts = matching_history(seed, 80)
    seen = []

    for order in range(3):
        await forget(pool)
        for batch in shuffled(facts, order) if order else [facts]:
            await told(pool, [batch])
            await asking.ask(pool)
        while await asking.ask(pool):
            pass
        found = [await review_store.page(pool, company, 100, 0) for company in COMPANIES]
        seen.append([{frozenset((r.one_home, r.other_home)) for r in page} for page, _ in found])
        assert all(total == len(page) for page, total in found)

    assert seen[1] == seen[0]
    assert seen[2] == seen[0]


async def test_telling_everything_again_publishes_nothing(pool: db.Pool) -> None:
    facts = matching_history(7, 200)
    await told(pool, [facts])
    await pool.execute("DELETE FROM outbox")

    await told(pool, shuffled(facts, 3))

    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_published_versions_of_a_key_only_grow(pool: db.Pool) -> None:
    facts = matching_history(9, 200)
    versions: dict[bytes, int] = {}

    for batch in shuffled(facts, 4):
        await told(pool, [batch])
        for row in await pool.fetch("DELETE FROM outbox RETURNING topic, key, payload"):
            key = row["topic"].encode() + row["key"]
            version = orjson.loads(row["payload"])["version"]
            assert version > versions.get(key, 0)
            versions[key] = version


async def test_two_writers_of_one_tenant_lose_nothing(pool: db.Pool) -> None:
    facts = matching_history(3, 400)

    async with asyncio.TaskGroup() as group:
        for half in (facts[::2], facts[1::2]):
            group.create_task(told(pool, shuffled(half, 5)))

    known, _ = await published(pool)
    assert known == Truth(truth(facts).organizations, truth(facts).links)

"""What users say once more: told that it failed though it is stored, or by a second click."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.orgs import api
from services.orgs.settings import OrgsSettings
from shared import db, service, topics
from shared.errors import Unavailable
from shared.events import OrganizationVerdictChange, parse
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record
from tests.support.orgs_facts import a_person, an_org, records_in
from tests.support.orgs_judging import get, home, org_id, post, reviews
from tests.support.orgs_store import PUBLISH_S, SAID, Client, served, tell

pytestmark = pytest.mark.integration

TOPIC = topics.APP_ORGANIZATION_VERDICTS.name


class LateAcks(Publisher):
    """While `late`, Kafka stores what it is given, and nobody hears of it in time."""

    late = False

    async def publish(self, records: Sequence[Record]) -> None:
        await super().publish(records)
        if self.late:
            raise Unavailable("Kafka: no answer in time")


@pytest.fixture
async def publisher(settings: OrgsSettings) -> AsyncIterator[LateAcks]:
    await service.prepare_topics(settings, SAID, asyncio.Event())
    async with LateAcks(settings, deadline_s=PUBLISH_S) as publisher:
        yield publisher


@pytest.fixture
async def client(pool: db.Pool, publisher: LateAcks) -> AsyncIterator[Client]:
    async with served(api.endpoints(pool, publisher)) as client:
        yield client


async def hear(pool: db.Pool, settings: OrgsSettings) -> None:
    """As the worker does, all that was said."""
    said = await records_in(settings, TOPIC)
    await tell(pool, *(Received(TOPIC, parse(OrganizationVerdictChange, each)) for each in said))


async def ask_twice(
    client: Client, publisher: LateAcks, between: Any, path: str, **body: Any
) -> dict[str, Any]:
    publisher.late = True
    failed, _ = await post(client, path, **body)
    publisher.late = False
    if between is not None:
        await hear(*between)
    status, answered = await post(client, path, **body)
    assert (failed, status) == (503, 200), answered
    data: dict[str, Any] = answered["data"]
    return data


@pytest.fixture(params=["before it is asked again", "after it"])
def between(request: pytest.FixtureRequest, pool: db.Pool, settings: OrgsSettings) -> Any:
    """When the worker hears of what was stored."""
    return (pool, settings) if request.param.startswith("before") else None


async def test_a_merge_that_was_stored_and_is_asked_for_again_is_one(
    pool: db.Pool, client: Client, settings: OrgsSettings, publisher: LateAcks, between: Any
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), a_person(5, 2))
    wanted = {"winnerId": org_id(1), "loserId": org_id(2), "reason": "same owners"}

    merged = await ask_twice(client, publisher, between, "/merges", **wanted)
    await hear(pool, settings)

    assert merged["moves"] == {"contacts": 1, "records": 1}
    _, listed = await get(client, "/merges")
    assert [each["id"] for each in listed["data"]["merges"]] == [merged["id"]]
    _, undone = await post(client, f"/merges/{merged['id']}/undo")
    assert undone["data"]["reason"] == "They are separate again."
    assert [await home(client, n) for n in (1, 2)] == [org_id(1), org_id(2)]


@pytest.mark.parametrize("decision", ["merge", "separate"])
async def test_an_answer_that_was_stored_and_is_given_again_is_one(
    pool: db.Pool,
    client: Client,
    settings: OrgsSettings,
    publisher: LateAcks,
    between: Any,
    decision: str,
) -> None:
    await tell(pool, an_org(1, "Nordwind Logistics"), an_org(2, "Nordwind Logistic"))
    (review,) = await reviews(pool, client)

    path = f"/reviews/{review['id']}"
    decided = await ask_twice(client, publisher, between, path, decision=decision)
    await hear(pool, settings)

    assert decided["organizationId"] == org_id(1)
    said = await pool.fetch("SELECT verdict_id FROM verdicts")
    assert [str(row[0]) for row in said] == [decided["verdictId"]]


async def test_a_separation_that_was_stored_and_is_asked_for_again_is_one(
    pool: db.Pool, client: Client, settings: OrgsSettings, publisher: LateAcks, between: Any
) -> None:
    await tell(pool, *(an_org(number, "Müller") for number in (1, 2, 3)), a_person(5, 2))
    wanted = {"organizationId": org_id(1), "recordIds": [org_id(2)]}
    _, seen = await post(client, "/separations", **wanted, dryRun=True)

    parted = await ask_twice(client, publisher, between, "/separations", **wanted)
    again, repeated = await post(client, "/separations", **wanted)
    await hear(pool, settings)

    assert parted["organizations"] == seen["data"]["organizations"]
    assert (again, repeated["data"]) == (200, parted)
    rows = await pool.fetch("SELECT decision FROM verdicts ORDER BY decision")
    assert [row[0] for row in rows] == ["distinct", "same"]


async def test_an_undo_that_was_stored_and_is_asked_for_again_is_done(
    pool: db.Pool, client: Client, settings: OrgsSettings, publisher: LateAcks, between: Any
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    _, done = await post(client, "/merges", winnerId=org_id(1), loserId=org_id(2))

    path = f"/merges/{done['data']['id']}/undo"
    undone = await ask_twice(client, publisher, between, path)
    await hear(pool, settings)

    assert undone["reason"] == "They are separate again."
    assert [await home(client, n) for n in (1, 2)] == [org_id(1), org_id(2)]


async def test_a_second_click_is_answered_as_the_first(pool: db.Pool, client: Client) -> None:
    """What went along by a merge before it counts as well."""
    await tell(pool, *(an_org(number, f"Org {'abc'[number - 1] * 9}") for number in (1, 2, 3)))
    await tell(pool, a_person(5, 2), a_person(6, 3))
    await post(client, "/merges", winnerId=org_id(2), loserId=org_id(3))
    wanted = {"winnerId": org_id(1), "loserId": org_id(2)}

    async with asyncio.TaskGroup() as group:
        clicks = [group.create_task(post(client, "/merges", **wanted)) for _ in range(2)]

    (first, one), (second, other) = (click.result() for click in clicks)
    assert (first, second) == (200, 200)
    assert one == other
    assert one["data"]["moves"] == {"contacts": 2, "records": 2}


async def test_what_was_taken_back_or_outweighed_can_be_said_again(
    pool: db.Pool, client: Client
) -> None:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"))
    wanted = {"winnerId": org_id(1), "loserId": org_id(2)}
    parting = {"organizationId": org_id(1), "recordIds": [org_id(2)]}

    said = []
    for taken_back in ("undo", "separation", "nothing"):
        status, merged = await post(client, "/merges", **wanted)
        said.append(merged["data"]["id"])
        assert (status, await home(client, 2)) == (200, org_id(1))
        if taken_back == "undo":
            await post(client, f"/merges/{merged['data']['id']}/undo")
        elif taken_back == "separation":
            await post(client, "/separations", **parting)
    status, parted = await post(client, "/separations", **parting)

    assert len(set(said)) == len(said)
    assert (status, await home(client, 2)) == (200, org_id(2))
    assert len(parted["data"]["organizations"]) == 2

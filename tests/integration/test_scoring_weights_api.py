"""Weights over HTTP: admins decide, into the log first; a dry run tells and changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.scoring import deciding, preview, weight_table, weights_api
from services.scoring.main import PUBLISH_S
from services.scoring.rescoring import BATCH, Rescorer
from services.scoring.weights import DEFAULT, Rates
from services.scoring.weights_api import WeightsApi
from shared import ids
from shared.app import application
from shared.auth import Authenticator
from shared.events import ScoringWeightsChange, parse
from shared.kafka.client import ensure_topics
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher
from shared.kafka.replay import replay
from shared.settings import Settings
from shared.topics import APP_SCORING_WEIGHTS
from tests.support import scoring_store
from tests.support.infra import Infra
from tests.support.scoring_store import COMPANY, OTHER_COMPANY, Store, fact
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SECRET = "a secret that is long enough for HS256"
PATH = "/api/scoring/weights"
IS_HELD_UP = """
SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'contacts'::regclass
"""
WARMER = {"weights": {"organization": 5}, "reason": "Organizations matter."}


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with scoring_store.store(database_url, tmp_path) as store:
        yield store


@pytest.fixture
async def settings(infra: Infra, topic_prefix: str) -> Settings:
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=2
    )
    await ensure_topics(settings, [APP_SCORING_WEIGHTS])
    return settings


@pytest.fixture
async def client(store: Store, settings: Settings) -> AsyncIterator[TestClient[Any, Any]]:
    async with (
        Publisher(settings, deadline_s=10) as publisher,
        served(WeightsApi(store.pool, store.tenants, publisher, store.clock)) as client,
    ):
        yield client


async def ask(
    client: TestClient[Any, Any],
    method: str,
    path: str,
    body: object = None,
    *,
    company: int = COMPANY,
    **claims: Any,
) -> Any:
    expires = datetime.now(UTC) + timedelta(hours=1)
    claims = {"sub": "5", "company_id": company, "exp": expires, **claims}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    headers = {"Authorization": f"Bearer {token}"}
    async with client.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def decide(client: TestClient[Any, Any], body: object, path: str = PATH) -> Any:
    return await ask(client, "POST", path, body, role="admin")


async def logged(settings: Settings) -> list[ScoringWeightsChange]:
    stretches = [each async for each in replay(settings, [APP_SCORING_WEIGHTS])]
    records = [record for each in stretches for record in each.records]
    return [parse(ScoringWeightsChange, record.value) for record in records]


async def test_a_decision_is_in_the_log_and_in_force(
    store: Store, client: TestClient[Any, Any], settings: Settings
) -> None:
    await store.told(*(fact("person", n, 1, {"org_id": 3}) for n in range(BATCH + 50)))
    status, before = await ask(client, "GET", PATH)
    assert (status, before["data"]["version"], before["data"]["decision"]) == (200, 1, None)
    assert before["data"]["weights"] == before["data"]["defaults"]
    assert before["data"]["rescoring"]["state"] == "never"

    status, body = await decide(client, WARMER)

    assert status == 201
    data = body["data"]
    assert (data["version"], data["weights"]["organization"]) == (2, 5)
    assert data["decision"]["decidedBy"] == "5"
    assert data["decision"]["reason"] == "Organizations matter."
    assert data["rescoring"]["state"] == "waiting"
    [change] = await logged(settings)
    assert change.key == b"11:weights"
    assert change.data is not None
    assert change.data.weights == data["weights"]

    worker = Rescorer(store.pool, store.tenants, store.clock)
    await worker.batch()
    _, running = await ask(client, "GET", PATH)
    assert running["data"]["rescoring"] | {"contactsPerSecond": 0} == {
        "state": "running",
        "cause": "weights",
        "askedAt": "2026-06-01T12:00:00Z",
        "startedAt": "2026-06-01T12:00:00Z",
        "finishedAt": None,
        "done": BATCH,
        "total": BATCH + 50,
        "contactsPerSecond": 0,
    }
    store.now += timedelta(seconds=2)
    await worker.batch()
    await worker.batch()
    _, finished = await ask(client, "GET", PATH)
    assert finished["data"]["rescoring"]["state"] == "finished"
    assert finished["data"]["rescoring"]["contactsPerSecond"] == (BATCH + 50) / 2

    rows = await store.rows()
    await store.forget()
    await store.told(Received(APP_SCORING_WEIGHTS.name, change))
    assert (await store.rows())["decisions"] == rows["decisions"]


async def test_history_shows_who_decided_what_when_and_why(
    store: Store, client: TestClient[Any, Any]
) -> None:
    for points in (2, 3, 4):
        store.now += timedelta(seconds=1)
        await decide(client, {"weights": {"email": points}, "reason": f"So {points}."})

    _, first = await ask(client, "GET", f"{PATH}/history?limit=2")
    following = first["data"]["nextBefore"]
    _, second = await ask(client, "GET", f"{PATH}/history?limit=2&before={following}")
    _, foreign = await ask(client, "GET", f"{PATH}/history", company=OTHER_COMPANY)

    shown = [*first["data"]["decisions"], *second["data"]["decisions"]]
    assert [(d["version"], d["weights"]["email"], d["reason"]) for d in shown] == [
        (4, 4, "So 4."),
        (3, 3, "So 3."),
        (2, 2, "So 2."),
    ]
    assert shown[0]["decidedAt"] == "2026-06-01T12:00:03Z"
    assert second["data"]["nextBefore"] is None
    assert foreign["data"]["decisions"] == []


async def test_only_admins_decide(client: TestClient[Any, Any], settings: Settings) -> None:
    for path in (PATH, f"{PATH}?dryRun=true"):
        status, body = await ask(client, "POST", path, WARMER)
        assert (status, body["code"]) == (403, "forbidden")
    async with client.post(PATH, json=WARMER) as response:
        assert response.status == 401
    assert await logged(settings) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"weights": {"email": "1"}, "reason": "x"}, "'weights.email': Input should be a valid"),
        (
            {"weights": {"quietAfterDays": 3}, "reason": "x"},
            "'weights': quietAfterDays (3) may not",
        ),
        ({"weights": {}, "reason": " \x00 "}, "'reason': give the reason in a sentence."),
        ({"weights": {}}, "'reason': Field required."),
        ({"reason": "x"}, "'weights': Field required."),
        ({"weights": {"emial": 1}, "reason": "x"}, "'weights.emial' is not recognized."),
        ({"weights": {"job_title": 1}, "reason": "x"}, "'weights.job_title' is not recognized."),
    ],
)
async def test_what_cannot_be_weights_is_refused_in_a_sentence(
    client: TestClient[Any, Any], settings: Settings, body: object, told: str
) -> None:
    status, answered = await decide(client, body)

    assert (status, answered["code"]) == (400, "bad_request")
    assert answered["error"].startswith(told)
    assert await logged(settings) == []


@pytest.mark.parametrize("spelled", ["1", "yes", "True", ""])
async def test_a_dry_run_is_asked_for_as_it_is_documented_or_nothing_is_done(
    client: TestClient[Any, Any], settings: Settings, spelled: str
) -> None:
    status, answered = await decide(client, WARMER, f"{PATH}?dryRun={spelled}")

    assert (status, answered["code"]) == (400, "bad_request")
    assert answered["error"].startswith("'dryRun': ")
    assert await logged(settings) == []


async def test_the_same_weights_are_not_decided_twice(client: TestClient[Any, Any]) -> None:
    await decide(client, WARMER)

    status, body = await decide(client, WARMER)

    assert (status, body["code"]) == (409, "unchanged")
    assert "version 2" in body["error"]


async def test_two_admins_at_once_decide_one_after_the_other(
    store: Store, client: TestClient[Any, Any], settings: Settings
) -> None:
    decided = [await decide(client, WARMER), await decide(client, WARMER | {"weights": {}})]
    store.now -= timedelta(days=1)  # a clock that was set back
    decided.append(await decide(client, WARMER))

    assert [status for status, _ in decided] == [201, 201, 201]
    versions = [change.version for change in await logged(settings)]
    assert versions == sorted(set(versions))
    _, body = await ask(client, "GET", PATH)
    assert (body["data"]["version"], body["data"]["weights"]["organization"]) == (4, 5)


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    store: Store, client: TestClient[Any, Any], settings: Settings
) -> None:
    await store.told(
        *(fact("person", n, 1, {"org_id": 3}) for n in range(300)),
        *(fact("person", n, 1, {}) for n in range(300, 340)),
        fact("person", 400, 1, {"org_id": 3, "job_title": "Boss"}),
        fact("person", 401, 1, {"org_id": 3}),
        fact("person", 401, 2, None),
        fact("activity", 1, 1, {"type": "meeting", "due_date": "2026-06-01", "person_id": 401}),
        fact("person", 402, 1, {"org_id": 3}, merged_from="401"),
    )
    before = await store.rows()

    wanted = {"weights": {"organization": 5, "meeting": 4}, "reason": "Try."}
    status, body = await decide(client, wanted, f"{PATH}?dryRun=true")

    assert status == 200
    data = body["data"]
    moves = data.pop("largestMoves")
    assert data == {
        "contacts": 342,
        "lookedAt": 342,
        "sampled": False,
        "changeScore": 302,
        "changeBand": 302,
        "bands": ["0-3", "4-6", "7-10"],
        "matrix": [[40, 301, 0], [0, 0, 1], [0, 0, 0]],
    }
    assert len(moves) == 20
    assert moves[0] == {
        "contactId": str(ids.contact(COMPANY, 402)),
        "personId": "402",
        "oldScore": 4,
        "newScore": 10,
        "components": [
            {
                "name": "base.organization",
                "oldPoints": 1,
                "newPoints": 5,
                "reason": "belongs to an organization",
            },
            {
                "name": "activity.meeting",
                "oldPoints": 2,
                "newPoints": 4,
                "reason": "a meeting due in the last 30 days or later",
            },
        ],
    }
    assert await store.rows() == before
    assert await logged(settings) == []


async def test_a_preview_that_runs_out_of_time_says_that_it_is_a_sample(store: Store) -> None:
    await store.told(*(fact("person", n, 1, {"org_id": 3}) for n in range(600)))
    new = weight_table.WeightTable(organization=5).weights(2, Rates())

    found = await preview.compare(store.pool, COMPANY, DEFAULT, new, now=store.now, longest_s=0)

    assert (found.contacts, found.looked_at, found.is_sampled) == (600, preview.BATCH, True)
    persons = [move.key[1] for move in found.largest]
    assert max(persons) > preview.BATCH


async def test_a_decision_while_kafka_is_away_is_refused_and_not_in_force(
    store: Store, topic_prefix: str
) -> None:
    away = Settings(kafka_bootstrap_servers="127.0.0.1:1", kafka_topic_prefix=topic_prefix)
    async with (
        Publisher(away, deadline_s=0.5) as publisher,
        served(WeightsApi(store.pool, store.tenants, publisher, store.clock)) as client,
    ):
        status, body = await decide(client, WARMER)
        _, in_force = await ask(client, "GET", PATH)

    assert (status, body["code"]) == (503, "unavailable")
    assert in_force["data"]["version"] == 1


async def test_nobody_waits_behind_many_who_try_weights_out(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_api, "LONGEST_WAIT_S", 0.1)

    async def is_held_up() -> bool:
        found: bool = await store.pool.fetchval(IS_HELD_UP)
        return found

    async with Publisher(settings, deadline_s=10) as publisher:
        api = WeightsApi(store.pool, store.tenants, publisher, store.clock)
        async with served(api) as client, asyncio.timeout(10):
            async with store.pool.acquire() as conn, conn.transaction():
                await conn.execute("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE")
                one = asyncio.ensure_future(decide(client, WARMER, f"{PATH}?dryRun=true"))
                await until(is_held_up)
                status, body = await decide(client, WARMER, f"{PATH}?dryRun=true")
            first, _ = await one

    assert (first, status, body["code"]) == (200, 503, "busy")


async def test_nobody_waits_long_for_a_kafka_that_is_silent(
    store: Store, killable: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "PUBLISH_S", 0.5)
    settings = Settings(kafka_bootstrap_servers=killable.kafka, kafka_topic_prefix=topic_prefix)
    await ensure_topics(settings, [APP_SCORING_WEIGHTS])
    async with (
        Publisher(settings, deadline_s=PUBLISH_S) as publisher,
        served(WeightsApi(store.pool, store.tenants, publisher, store.clock)) as client,
    ):
        await publisher.ping([APP_SCORING_WEIGHTS])
        async with killable.frozen("kafka"):
            async with asyncio.timeout(PUBLISH_S / 2):
                status, body = await decide(client, WARMER)

    assert (status, body["code"]) == (503, "unavailable")


@asynccontextmanager
async def served(api: WeightsApi) -> AsyncIterator[TestClient[Any, Any]]:
    app = application(
        api.endpoints(),
        title="scoring",
        pings={},
        authenticator=Authenticator(SecretStr(SECRET), None),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_the_endpoints_are_documented(client: TestClient[Any, Any]) -> None:
    async def is_there() -> bool:
        async with client.get("/openapi.json") as response:
            paths = (await response.json())["paths"]
            return {"get", "post"} == set(paths[PATH]) and f"{PATH}/history" in paths

    await until(is_there, 1)

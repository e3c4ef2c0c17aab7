"""Scores explain themselves to those of the same company, and to nobody else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.scoring.api import Api
from services.scoring.score import COMPONENTS
from shared import ids
from shared.app import application
from shared.auth import Authenticator
from tests.support import scoring_store
from tests.support.scoring_store import COMPANY, NOW, OTHER_COMPANY, Store, fact

pytestmark = pytest.mark.integration

SECRET = "a secret that is long enough for HS256"
CONTACT = ids.contact(COMPANY, 8)


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with scoring_store.store(database_url, tmp_path) as store:
        yield store


@pytest.fixture
async def client(store: Store) -> AsyncIterator[TestClient[Any, Any]]:
    app = application(
        Api(store.pool, store.tenants, store.clock).endpoints(),
        title="scoring",
        pings={},
        authenticator=Authenticator(SecretStr(SECRET), None),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(client: TestClient[Any, Any], path: str, company: int = COMPANY) -> Any:
    expires = datetime.now(UTC) + timedelta(hours=1)
    claims = {"sub": "5", "company_id": company, "exp": expires}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    async with client.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status, await response.json()


async def test_a_score_explains_itself(store: Store, client: TestClient[Any, Any]) -> None:
    done = {"type": "call", "due_date": "2026-06-01", "done": True, "person_id": 8}
    await store.told(
        fact("person", 8, 1, {"org_id": 3, "job_title": "Boss"}),
        fact("activity", 1, 1, done),
        fact("deal", 1, 1, {"person_id": 8, "value": 1200.5, "currency": "EUR"}),
    )

    status, body = await get(client, f"/api/scores/{CONTACT}")

    assert status == 200
    data = body["data"]
    components = {each["name"]: each for each in data.pop("components")}
    assert data == {
        "contactId": str(CONTACT),
        "personId": "8",
        "score": 7,
        "sum": 7,
        "clamped": False,
        "lastContacted": "2026-06-01T00:00:00Z",
        "nextChangeAt": "2026-06-08T00:00:00Z",
        "weightsVersion": 1,
    }
    assert tuple(components) == COMPONENTS
    assert sum(each["points"] for each in components.values()) == 7
    assert components["relationship.deals"]["evidence"]["total"] == 1200.5
    assert components["base.job_title"]["evidence"] == {"jobTitle": "Boss"}
    assert components["activity.call"]["evidence"] == {"dueDate": "2026-06-01"}


async def test_an_answer_is_of_now_even_before_the_ticker_came(
    store: Store, client: TestClient[Any, Any]
) -> None:
    done = {"type": "lunch", "done": True, "person_id": 8}
    await store.told(fact("person", 8, 1, {}), fact("activity", 1, 1, done))
    store.now += timedelta(days=10)

    status, body = await get(client, f"/api/scores/{CONTACT}")

    assert (status, body["data"]["score"], await store.score(8)) == (200, 1, 2)


async def test_a_survivor_shows_what_it_swallowed(
    store: Store, client: TestClient[Any, Any]
) -> None:
    await store.told(
        fact("activity", 1, 1, {"type": "call", "due_date": "2026-06-01", "person_id": 9}),
        fact("person", 9, 1, {}),
        fact("person", 8, 2, {}, merged_from="9"),
    )

    _, survivor = await get(client, f"/api/scores/{CONTACT}")
    status, _ = await get(client, f"/api/scores/{ids.contact(COMPANY, 9)}")

    assert survivor["data"]["score"] == 2
    assert status == 404


async def test_history_tells_every_change_with_its_cause(
    store: Store, client: TestClient[Any, Any]
) -> None:
    await store.told(fact("person", 8, 1, {"org_id": 3}))
    store.now += timedelta(minutes=1)
    await store.told(fact("person", 8, 2, {"org_id": None}))

    status, body = await get(client, f"/api/scores/{CONTACT}/history")
    _, newest = await get(client, f"/api/scores/{CONTACT}/history?limit=1")

    assert status == 200
    assert body["data"]["changes"] == [
        {
            "at": "2026-06-01T12:01:00Z",
            "oldScore": 1,
            "newScore": 0,
            "points": {},
            "cause": {"kind": "event", "topic": "pipedrive.persons", "eventId": "person-8-2"},
            "weightsVersion": 1,
        },
        {
            "at": NOW.isoformat().replace("+00:00", "Z"),
            "oldScore": None,
            "newScore": 1,
            "points": {"base.organization": 1},
            "cause": {"kind": "event", "topic": "pipedrive.persons", "eventId": "person-8-1"},
            "weightsVersion": 1,
        },
    ]
    assert newest["data"]["changes"] == body["data"]["changes"][:1]


async def test_history_is_read_page_by_page(store: Store, client: TestClient[Any, Any]) -> None:
    for version in range(1, 8):
        store.now += timedelta(seconds=1)
        await store.told(fact("person", 8, version, {"org_id": 3 if version % 2 else None}))

    shown, path = [], f"/api/scores/{CONTACT}/history?limit=3"
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        _, body = await get(client, f"{path}&cursor={cursor}" if cursor else path)
        shown += body["data"]["changes"]
        sizes.append(len(body["data"]["changes"]))
        cursor = body["data"]["nextCursor"]

    assert sizes == [3, 3, 1]
    assert [each["cause"]["eventId"] for each in shown] == [
        f"person-8-{version}" for version in range(7, 0, -1)
    ]


async def test_nobody_sees_what_is_not_of_their_company(
    store: Store, client: TestClient[Any, Any]
) -> None:
    await store.told(
        fact("person", 8, 1, {}), fact("person", 7, 1, {}), fact("person", 7, 2, None)
    )

    for path in ("", "/history"):
        foreign = await get(client, f"/api/scores/{CONTACT}{path}", OTHER_COMPANY)
        unknown = await get(client, f"/api/scores/{ids.contact(COMPANY, 99)}{path}")
        deleted = await get(client, f"/api/scores/{ids.contact(COMPANY, 7)}{path}")

        assert foreign == unknown == deleted
        assert foreign[0] == 404
        assert foreign[1]["code"] == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "8",
        f"{CONTACT}/history?limit=0",
        f"{CONTACT}/history?limit=501",
        f"{CONTACT}/history?cursor=x",
        f"{CONTACT}/history?cursor=1_0",
        f"{CONTACT}?x=1",
        "%00",
    ],
)
async def test_malformed_requests_are_told_so(client: TestClient[Any, Any], path: str) -> None:
    status, body = await get(client, f"/api/scores/{path}")

    assert (status, body["code"]) == (400, "bad_request")


async def test_a_token_is_needed(client: TestClient[Any, Any]) -> None:
    async with client.get(f"/api/scores/{CONTACT}") as response:
        assert response.status == 401


async def test_the_endpoints_are_documented(client: TestClient[Any, Any]) -> None:
    async with client.get("/openapi.json") as response:
        paths = (await response.json())["paths"]

    assert {"/api/scores/{contactId}", "/api/scores/{contactId}/history"} <= set(paths)

"""The door out: who is let in, what is refused, what a hit looks like."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.query import api, projection
from services.query.cache import Cache
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.projector import Projector
from services.query.watch import Watch
from services.query.wire import Wire
from shared import db
from shared.app import Health
from shared.auth import Authenticator
from shared.kafka.consumer import Received
from shared.tenants import Tenants
from tests.support import query_facts as facts
from tests.support.cluster import SECRET, token
from tests.support.infra import Infra, on_database
from tests.support.query_facts import COMPANY, NO_TENANTS, read_model
from tests.support.waiting import until

pytestmark = pytest.mark.integration


class Door:
    """The API of one process, and a projector beside it."""

    def __init__(self, pool: db.Pool, wire: Wire, keys: Keys) -> None:
        self.pool = pool
        self.watch = Watch(pool)
        self.projector = Projector(Tenants(NO_TENANTS), Invalidation(wire, keys, pool))
        parts = api.Parts(pool, Cache(wire, keys), self.watch)
        authenticator = Authenticator(SecretStr(SECRET), None)
        app = api.application(parts, Health({}), authenticator)
        self.client: TestClient[Any, Any] = TestClient(TestServer(app))

    async def told(self, *told: Received) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            after = await self.projector.apply(conn, told)
        await after()

    async def get(
        self, path: str, *, company: int = COMPANY, user: str = "7", etag: str = "", **claims: Any
    ) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {token(company, user, **claims)}"}
        if etag:
            headers["If-None-Match"] = etag
        response: aiohttp.ClientResponse = await self.client.get(path, headers=headers)
        await response.read()
        return response


@pytest.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with read_model(database_url) as pool, Wire(redis_url) as wire:
        door = Door(pool, wire, Keys(await projection.store_id(pool)))
        async with door.client:
            yield door


async def test_a_hit_is_the_page_that_was_read_with_another_tail(door: Door) -> None:
    await door.told(facts.person(1, name="Ada"), facts.score(1, 7))

    miss = await (await door.get("/api/my-500?limit=5")).json()
    hit = await (await door.get("/api/my-500?limit=5")).json()

    assert list(miss) == list(hit) == ["success", "data", "performance"]
    assert miss["data"] == hit["data"]
    assert [c["name"] for c in hit["data"]["contacts"]] == ["Ada"]
    assert not miss["performance"]["cacheHit"]
    assert miss["performance"]["queryTime"] > 0
    assert hit["performance"]["cacheHit"]
    assert hit["performance"]["queryTime"] == 0
    assert "stale" not in hit


async def test_an_unchanged_page_is_not_sent_again(door: Door) -> None:
    await door.told(facts.person(1, 1))
    etag = (await door.get("/api/my-500")).headers["ETag"]

    same = await door.get("/api/my-500", etag=etag)
    await door.told(facts.person(1, 2, name="Renamed"))
    changed = await door.get("/api/my-500", etag=etag)

    assert (same.status, await same.read()) == (304, b"")
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


async def exchange(door: Door, *requests: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of what comes back when requests are sent in one write."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.client.port)
    writer.write(b"".join(requests))
    answers = []
    for _ in requests:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        answers.append((head, await reader.readexactly(int(length))))
    writer.close()
    await writer.wait_closed()
    return answers


def raw_request(version: str, *headers: str) -> bytes:
    lines = [
        f"GET /api/my-500 HTTP/{version}",
        "Host: here",
        f"Authorization: Bearer {token(COMPANY, '7')}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_hit_is_the_same_over_every_kind_of_connection(door: Door) -> None:
    await door.told(facts.person(1, name="Ada"))
    page = (await (await door.get("/api/my-500")).json())["data"]

    pipelined = await exchange(door, *[raw_request("1.1")] * 5)
    (closing,) = await exchange(door, raw_request("1.1", "Connection: close"))
    (old,) = await exchange(door, raw_request("1.0"))
    kept = await exchange(door, *[raw_request("1.0", "Connection: keep-alive")] * 2)

    for head, body in [*pipelined, closing, old, *kept]:
        answer = json.loads(body)
        assert b" 200 OK\r\n" in head
        assert b"\r\nContent-Type: application/json" in head
        assert b"\r\nETag: " in head
        assert b"\r\nDate: " in head
        assert answer["data"] == page
        assert answer["performance"]["cacheHit"]
    assert b"Connection: close" in closing[0]


@pytest.mark.parametrize(
    "path",
    [
        "/api/my-500?page=0",
        "/api/my-500?limit=501",
        "/api/my-500?warmness=1-2",
        "/api/my-500?organizationId=7",
        "/api/my-500?inCampaign=perhaps",
        "/api/my-500?cursor=abc",
        "/api/my-500?order=name",
        "/api/organizations?limit=0",
        "/api/contacts/not-a-uuid",
    ],
)
async def test_a_bad_parameter_is_refused_with_a_sentence(door: Door, path: str) -> None:
    response = await door.get(path)

    body = await response.json()
    assert response.status == 400
    assert body["success"] is False
    assert body["code"] == "bad_request"
    assert body["error"].endswith(".")


@pytest.mark.parametrize("path", ["/api/my-500", "/api/organizations", "/api/contacts/x"])
async def test_without_a_token_there_is_nothing_to_read(door: Door, path: str) -> None:
    response = await door.client.get(path)

    assert response.status == 401
    assert (await response.json())["code"] == "unauthorized"


async def test_a_contact_of_another_user_or_company_is_not_found(door: Door) -> None:
    await door.told(facts.person(1, owner_id=7, name="Ada"))
    path = f"/api/contacts/{facts.contact_id(1)}"

    own = await door.get(path)
    others = await door.get(path, user="8")
    admins = await door.get(path, user="8", role="admin")
    abroad = await door.get(path, company=COMPANY + 1, role="admin")

    assert (await own.json())["data"]["name"] == "Ada"
    assert [own.status, others.status, admins.status, abroad.status] == [200, 404, 200, 404]


async def test_organizations_are_cached_and_fresh_too(door: Door) -> None:
    await door.told(facts.person(1), facts.link(1, 1), facts.organization(1, 1))
    await door.get("/api/organizations")
    hit = await (await door.get("/api/organizations")).json()

    await door.told(facts.organization(1, 2, name="Renamed"))
    fresh = await (await door.get("/api/organizations")).json()

    assert hit["performance"]["cacheHit"]
    assert [o["name"] for o in hit["data"]["organizations"]] == ["Organization 1"]
    assert [o["name"] for o in fresh["data"]["organizations"]] == ["Renamed"]


async def test_the_page_for_people_needs_nothing_from_elsewhere(door: Door) -> None:
    response = await door.client.get("/")

    text = await response.text()
    assert response.status == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "//" not in text.replace("// ", "")


async def test_the_document_describes_every_address(door: Door) -> None:
    document = await (await door.client.get("/openapi.json")).json()

    assert {"/api/my-500", "/api/contacts/{id}", "/api/organizations"} <= set(document["paths"])
    contact = document["components"]["schemas"]["Contact"]["properties"]
    answered = json.loads((await _one_contact(door))[0])["data"]["contacts"][0]
    assert list(contact) == list(answered)


async def _one_contact(door: Door) -> tuple[bytes, int]:
    await door.told(facts.person(1))
    response = await door.get("/api/my-500")
    return await response.read(), response.status


async def test_cached_pages_are_served_marked_while_postgres_is_away(
    killable: Infra, redis_url: str
) -> None:
    async with read_model(on_database(killable.database, "postgres")) as pool:
        await pool.execute("TRUNCATE contacts, user_counts")
        async with Wire(redis_url) as wire:
            door = Door(pool, wire, Keys(await projection.store_id(pool)))
            async with door.client:
                await door.told(facts.person(1, name="Ada"))
                await door.get("/api/my-500")
                stop = asyncio.Event()
                watching = asyncio.create_task(door.watch.run(stop))
                await asyncio.to_thread(killable.kill, "postgres")

                async def is_away() -> bool:
                    return door.watch.away

                await until(is_away, 10)
                kept = await (await door.get("/api/my-500")).json()
                unread = await door.get("/api/my-500?page=2")
                await asyncio.to_thread(killable.start, "postgres")

                async def is_back() -> bool:
                    return (await door.get("/api/my-500?page=2")).status == 200

                await until(is_back, 20)
                stop.set()
                await watching

    assert kept["stale"] is True
    assert [c["name"] for c in kept["data"]["contacts"]] == ["Ada"]
    assert unread.status == 503

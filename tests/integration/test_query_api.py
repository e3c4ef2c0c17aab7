"""The door out: who is let in, what is refused, what a hit looks like."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.query import api
from services.query.front import Others, Service
from services.query.limits import Limits, Rate
from shared.auth import Authenticator
from tests.support import query_door
from tests.support import query_facts as facts
from tests.support.cluster import SECRET, token
from tests.support.query_door import Door
from tests.support.query_facts import COMPANY

pytestmark = pytest.mark.integration


@pytest.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with query_door.opened(database_url, redis_url) as door:
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


async def test_an_etag_is_known_again_in_every_way_in_which_it_may_be_asked_for(
    door: Door,
) -> None:
    await door.told(facts.person(1, 1))
    etag = (await door.get("/api/my-500")).headers["ETag"]
    strong = etag.removeprefix("W/")

    asked = [strong, f'"other", {etag}', "*", '"other"', strong.strip('"')]
    statuses = [(await door.get("/api/my-500", etag=each)).status for each in asked]

    assert etag.startswith('W/"')
    assert statuses == [304, 304, 304, 200, 200]


async def test_a_large_page_is_sent_compressed_to_those_who_take_it(door: Door) -> None:
    await door.told(*[facts.person(n, name=f"Ada {n}") for n in range(50)])
    plain = {"Accept-Encoding": "identity"}
    packed = {"Accept-Encoding": "br, gzip;q=0.8"}
    refused = {"Accept-Encoding": "gzip;q=0, *"}
    path = "/api/my-500?limit=50"

    fresh = await exchange_one(door, path, packed)
    hits = [await exchange_one(door, path, packed) for _ in range(2)]
    others = [await exchange_one(door, path, headers) for headers in (plain, refused, {})]

    page = json.loads(others[0][1])["data"]
    assert [c["name"] for c in page["contacts"]] != []
    for head, body in [fresh, *hits]:
        assert b"\r\nContent-Encoding: gzip\r\n" in head
        assert json.loads(gzip.decompress(body))["data"] == page
        assert len(body) < len(others[0][1]) / 5
    for head, body in others:
        assert b"Content-Encoding" not in head
        assert json.loads(body)["data"] == page
    for head, _ in [fresh, *hits, *others]:
        assert b"\r\nVary: Accept-Encoding, Authorization\r\n" in head
        assert b"\r\nCache-Control: private, no-cache\r\n" in head
        assert b"\r\nETag: W/" in head


async def test_a_page_of_another_origin_may_read_a_hit_too(door: Door) -> None:
    origin = {"Origin": "http://page.example"}
    fresh = await door.get("/api/my-500", headers=origin)
    hits = [await door.get("/api/my-500", headers=origin) for _ in range(2)]
    same = await door.get("/api/my-500", headers=origin, etag=fresh.headers["ETag"])
    other = await door.get("/api/my-500")

    assert (await hits[0].json())["performance"]["cacheHit"]
    assert same.status == 304
    for response in (fresh, *hits, same):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in response.headers["Access-Control-Expose-Headers"].split(", ")
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_small_page_is_not_compressed(door: Door) -> None:
    head, body = await exchange_one(door, "/api/my-500", {"Accept-Encoding": "gzip"})

    assert b"Content-Encoding" not in head
    assert json.loads(body)["success"]


async def test_who_reads_too_much_is_told_when_to_come_back(
    database_url: str, redis_url: str
) -> None:
    limits = Limits(Rate(per_second=0.05, burst=3))
    async with query_door.opened(database_url, redis_url, limits) as door:
        await door.told(facts.person(1))
        read = [await door.get(f"/api/my-500?page={n}") for n in range(1, 6)]
        hit = await door.get("/api/my-500?page=1")
        other = await door.get("/api/my-500?page=1", user="8")
        body = await read[3].json()

    assert [response.status for response in read] == [200, 200, 200, 429, 429]
    assert body["code"] == "rate_limited"
    assert 1 <= int(read[3].headers["Retry-After"]) <= 20
    assert hit.status == other.status == 200


async def exchange_one(door: Door, path: str, headers: dict[str, str]) -> tuple[bytes, bytes]:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    (answer,) = await exchange(door, raw_request("1.1", *lines, path=path))
    return answer


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


def raw_request(version: str, *headers: str, path: str = "/api/my-500") -> bytes:
    lines = [
        f"GET {path} HTTP/{version}",
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
        "/api/my-500?inCampaign=True",
        "/api/my-500?inCampaign=1",
        "/api/my-500?cursor=abc",
        "/api/my-500?in_campaign=true",
        "/api/my-500?limit=1_0",
        "/api/my-500?limit=3&limit=abc",
        "/api/my-500?limit=3&limit=3",
        "/api/my-500/search?q=a&limit=1_0",
        "/api/my-500/suggest?q=a&limit=1_0",
        "/api/my-500?order=name",
        "/api/organizations?limit=0",
        "/api/organizations?cursor=abc",
        "/api/stats?week=1",
        "/api/contacts/not-a-uuid",
        f"/api/contacts/{facts.contact_id(1)}?x=1",
    ],
)
async def test_a_bad_parameter_is_refused_with_a_sentence(door: Door, path: str) -> None:
    response = await door.get(path)

    body = await response.json()
    assert response.status == 400
    assert body["success"] is False
    assert body["code"] == "bad_request"
    assert body["error"].endswith(".")


@pytest.mark.parametrize(
    "path", ["/api/my-500", "/api/organizations", "/api/stats", "/api/contacts/x"]
)
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


async def test_numbers_are_cached_and_fresh_too(door: Door) -> None:
    await door.told(facts.person(1, 1), facts.activity(5, person_id=1))
    await door.get("/api/stats")
    hit = await (await door.get("/api/stats")).json()

    await door.told(facts.activity(6, person_id=1))
    fresh = await (await door.get("/api/stats")).json()

    assert hit["performance"]["cacheHit"]
    assert hit["data"]["activities"]["total"] == 1
    assert fresh["data"]["activities"]["total"] == 2


async def test_the_page_for_people_needs_nothing_from_elsewhere(door: Door) -> None:
    response = await door.client.get("/")

    text = await response.text()
    assert response.status == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "//" not in text.replace("// ", "")


async def test_the_page_may_show_the_icon_that_it_brings(door: Door) -> None:
    response = await door.client.get("/")

    assert 'rel="icon" href="data:' in await response.text()
    assert "img-src data:;" in response.headers["Content-Security-Policy"]


async def test_the_page_for_people_is_asked_about_each_time_it_is_opened(door: Door) -> None:
    first = await door.client.get("/")
    again = await door.client.get("/", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "no-cache"
    assert again.status == 304


async def test_the_page_runs_its_own_script_alone_and_is_shown_in_no_frame(door: Door) -> None:
    response = await door.client.get("/")

    script = (await response.text()).partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = response.headers["Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert "frame-ancestors 'none';" in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_is_told_where_its_other_services_are_and_may_call_them(door: Door) -> None:
    ours = door.client.make_url("/").origin()
    ingest, scoring = str(ours.with_port(8081)), str(ours.with_port(8083))

    told = await (await door.client.get("/front.json")).json()
    page = await door.client.get("/")

    assert told["data"] == {"ingestUrl": ingest, "scoringUrl": scoring}
    assert f"connect-src 'self' {ingest} {scoring}" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("others", "urls", "origins"),
    [
        (
            Others(
                Service("https://example.com:8443/hooks/", 8081),
                Service("https://example.com:8443/scores", 8083),
            ),
            ["https://example.com:8443/hooks", "https://example.com:8443/scores"],
            "https://example.com:8443",
        ),
        (
            Others(Service(None, 9081), Service("https://scores.example", 8083)),
            ["http://crm.example:9081", "https://scores.example"],
            "http://crm.example:9081 https://scores.example",
        ),
    ],
)
async def test_the_page_may_call_its_other_services_wherever_they_are(
    door: Door, others: Others, urls: list[str], origins: str
) -> None:
    authenticator = Authenticator(SecretStr(SECRET), None)
    app = api.application(door.parts, {}, authenticator, others=others)
    headers = {"Host": "crm.example:8080"}
    async with TestClient(TestServer(app)) as client:
        told = await (await client.get("/front.json", headers=headers)).json()
        page = await client.get("/", headers=headers)

    assert told["data"] == dict(zip(("ingestUrl", "scoringUrl"), urls, strict=True))
    assert page.headers["Content-Security-Policy"].endswith(f"connect-src 'self' {origins}")


@pytest.mark.parametrize("host", ["a b", "x:999999", "", "evil.example; script-src *", "ünï"])
async def test_a_host_that_is_none_gets_into_no_policy(door: Door, host: str) -> None:
    headers = {"Host": host}
    page = await door.client.get("/", headers=headers)
    told = await door.client.get("/front.json", headers=headers)

    assert page.status == 200
    assert page.headers["Content-Security-Policy"].strip().endswith("connect-src 'self'")
    assert (told.status, (await told.json())["code"]) == (400, "bad_request")


async def test_the_document_describes_every_address(door: Door) -> None:
    document = await (await door.client.get("/openapi.json")).json()

    assert {"/api/my-500", "/api/contacts/{id}", "/api/organizations", "/api/stats"} <= set(
        document["paths"]
    )
    contact = document["components"]["schemas"]["Contact"]["properties"]
    answered = json.loads((await _one_contact(door))[0])["data"]["contacts"][0]
    assert list(contact) == list(answered)


async def _one_contact(door: Door) -> tuple[bytes, int]:
    await door.told(facts.person(1))
    response = await door.get("/api/my-500")
    return await response.read(), response.status

"""Answers have one shape, errors included, and the documentation is the code's."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import openapi_spec_validator
import pytest
from aiohttp import web as aioweb
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector
from pydantic import Field, SecretStr

from shared import heart, sparing, web
from shared.app import application
from shared.auth import Authenticator
from shared.errors import Unavailable
from shared.json_model import Json, Whole
from shared.openapi import Endpoint
from tests.support.cluster import SECRET, token


class Paging(Json):
    page_size: Whole = Field(20, ge=1, le=500, description="rows a page")


class Named(Json):
    """A name."""

    full_name: str


async def _paged(request: aioweb.Request) -> aioweb.Response:
    return web.answer({"pageSize": web.query(request, Paging).page_size})


async def _named(request: aioweb.Request) -> aioweb.Response:
    return web.answer({"fullName": (await web.body(request, Named)).full_name})


async def _plain(_: aioweb.Request) -> aioweb.Response:
    return web.answer({})


async def _away(_: aioweb.Request) -> aioweb.Response:
    raise Unavailable("Postgres: secret host")


async def _bug(_: aioweb.Request) -> aioweb.Response:
    raise KeyError("secret")


async def _fine() -> None:
    return None


async def _gone() -> None:
    raise Unavailable("Kafka: away")


ENDPOINTS = [
    Endpoint("GET", "/api/paged", _paged, "A page", {200: Named, 400: "Bad"}, query=Paging),
    Endpoint("POST", "/api/named/{id}", _named, "A name", {200: Named}, body=Named, auth="basic"),
    Endpoint("GET", "/api/plain", _plain, "No parameters", {200: Named}),
    Endpoint("GET", "/api/away", _away, "Away", {503: "Away"}, auth=None),
    Endpoint("GET", "/api/bug", _bug, "Bug", {500: "Bug"}, auth=None),
]


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    pings = {"postgres": _fine, "kafka": _gone}
    authenticator = Authenticator(SecretStr(SECRET), None)
    app = application(
        ENDPOINTS, title="Test", pings=pings, authenticator=authenticator, max_body_bytes=100
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code", "sentence"),
    [
        ("/api/paged?pageSize=0", 400, "bad_request", "'pageSize'"),
        ("/api/paged?pageSize=x", 400, "bad_request", "'pageSize'"),
        ("/api/paged?pagesize=1", 400, "bad_request", "'pagesize' is not recognized."),
        ("/api/paged?page_size=1", 400, "bad_request", "'page_size' is not recognized."),
        ("/api/paged?pageSize=1_0", 400, "bad_request", "'pageSize': Use digits."),
        ("/api/paged?pageSize=%201", 400, "bad_request", "'pageSize': Use digits."),
        ("/api/paged?pageSize=1.0", 400, "bad_request", "'pageSize': Use digits."),
        ("/api/paged?pageSize=-1", 400, "bad_request", "greater than or equal to 1"),
        (
            "/api/paged?pageSize=3&pageSize=abc",
            400,
            "bad_request",
            "'pageSize' is given more than once.",
        ),
        ("/api/plain?x=1", 401, "unauthorized", "token"),
        ("/nothing", 404, "no_such_address", "There is nothing at this address."),
        ("/api/named/1", 405, "method_not_allowed", "Only POST is allowed here."),
        ("/api/away", 503, "unavailable", "Part of the service is unavailable. Try again soon."),
        ("/api/bug", 500, "internal_error", "Something went wrong on our side."),
    ],
)
async def test_a_refusal_is_a_sentence_and_a_code(
    client: TestClient[Any, Any], path: str, status: int, code: str, sentence: str
) -> None:
    response = await client.get(path)

    body = await response.json()
    assert response.status == status
    assert body["success"] is False
    assert body["code"] == code
    assert sentence in body["error"]
    assert "secret" not in str(body)


async def test_whoever_is_let_in_is_seen_with_what_their_request_says_of_them(
    client: TestClient[Any, Any],
) -> None:
    seen: list[tuple[int, str]] = []
    client.app[web.AUTHENTICATOR].saw = lambda session, headers: seen.append(
        (session.identity.user_id, headers["User-Agent"])
    )
    own = {"User-Agent": "Mine/1"}

    for headers in (own, own | {"Authorization": f"Bearer {token(7, '1')}"}):
        await client.get("/api/plain?x=1", headers=headers)

    assert seen == [(1, "Mine/1")]


@pytest.mark.parametrize("path", ["/api/plain", "/api/paged?pageSize=0", "/api/away", "/nothing"])
async def test_no_cache_in_between_keeps_what_one_user_was_answered_for_the_next(
    client: TestClient[Any, Any], path: str
) -> None:
    headers = {"Authorization": f"Bearer {token(7, '1')}"}

    mine = await client.get(path, headers=headers)
    nobodys = await client.get(path)

    assert mine.headers["Cache-Control"] == nobodys.headers["Cache-Control"] == "no-store"


async def test_where_there_are_no_parameters_none_is_taken(client: TestClient[Any, Any]) -> None:
    headers = {"Authorization": f"Bearer {token(7, '1')}"}
    plain = await client.get("/api/plain", headers=headers)
    refused = await client.get("/api/plain?x=1", headers=headers)

    assert plain.status == 200
    assert refused.status == 400
    assert (await refused.json())["error"] == "'x' is not recognized."


async def test_an_outage_says_when_to_come_back(client: TestClient[Any, Any]) -> None:
    response = await client.get("/api/away")

    assert response.headers["Retry-After"] == "2"


async def test_an_outage_is_told_once_in_a_while_and_not_with_each_request_that_meets_it(
    client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shared.app.TELL_S", 3600.0)
    for _ in range(20):
        await client.get("/api/away")

    assert [record.message for record in caplog.records] == ["request_unavailable"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"fullName": "Ann"}', 200),
        (b"{", 400),
        (b'{"fullName": 1}', 400),
        (b'{"fullName": "Ann", "more": 1}', 400),
        (b'{"full_name": "Ann"}', 400),
        (b"x" * 101, 413),
    ],
)
async def test_bodies_are_taken_or_refused(
    client: TestClient[Any, Any], body: bytes, status: int
) -> None:
    response = await client.post("/api/named/1", data=body)

    assert response.status == status
    assert (await response.json())["success"] is (status == 200)


async def test_ready_names_each_dependency(client: TestClient[Any, Any]) -> None:
    response = await client.get("/readyz")

    body = await response.json()
    assert response.status == 503
    assert body["data"]["dependencies"] == {"postgres": "ok", "kafka": "Kafka: away"}


async def test_of_many_who_ask_whether_it_is_ready_one_asks_its_dependencies_at_a_time() -> None:
    asking, most = 0, 0

    async def ping() -> None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        for _ in range(100):  # turns of the loop, in which others arrive
            await asyncio.sleep(0)
        asking -= 1

    app = application([], title="Test", pings={"postgres": ping})
    async with TestClient(TestServer(app)) as client, asyncio.TaskGroup() as group:
        responses = [group.create_task(client.get("/readyz")) for _ in range(50)]

    assert {response.result().status for response in responses} == {200}
    assert most == 1


class Written(Collector):
    """How often the metrics were written."""

    def __init__(self) -> None:
        self.times = 0

    def collect(self) -> Iterable[Metric]:
        self.times += 1
        return []


async def test_metrics_are_not_written_anew_for_each_who_asks_without_end(
    client: TestClient[Any, Any],
) -> None:
    written = Written()
    REGISTRY.register(written)
    try:
        began, written.times = time.monotonic(), 0
        responses = [await client.get("/metrics") for _ in range(300)]
        seconds = int(time.monotonic() - began) + 2  # that it may have touched
    finally:
        REGISTRY.unregister(written)

    assert {response.status for response in responses} == {200}
    assert written.times <= min(299, sparing.MOST * seconds + 1)


async def test_a_process_that_waits_for_a_dependency_is_alive(
    client: TestClient[Any, Any],
) -> None:
    assert (await client.get("/healthz")).status == 200


async def test_a_process_with_a_loop_that_hangs_says_which(
    client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "PATIENCE_S", -1.0)

    with heart.beating("Relay.run"):
        response = await client.get("/healthz")

    assert response.status == 503
    assert "Relay.run" in (await response.json())["error"]


async def test_the_document_is_valid_openapi_and_names_every_endpoint(
    client: TestClient[Any, Any],
) -> None:
    document = await (await client.get("/openapi.json")).json()

    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    assert {"/api/paged", "/api/named/{id}", "/api/away", "/api/bug"} <= set(document["paths"])
    [parameter] = document["paths"]["/api/paged"]["get"]["parameters"]
    assert (parameter["name"], parameter["schema"]["maximum"]) == ("pageSize", 500)


async def test_the_document_says_what_a_stranger_hears_where_a_token_is_asked_for(
    client: TestClient[Any, Any],
) -> None:
    paths = (await (await client.get("/openapi.json")).json())["paths"]

    assert paths["/api/paged"]["get"]["responses"].keys() == {"200", "400", "401"}
    assert paths["/api/named/{id}"]["post"]["responses"].keys() == {"200", "408", "413"}
    assert paths["/api/away"]["get"]["responses"].keys() == {"503"}


async def test_the_browsable_page_brings_all_it_needs(client: TestClient[Any, Any]) -> None:
    page = await (await client.get("/docs")).text()

    assert "http" not in page.replace("http-equiv", "")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/docs/{name}" in page
        assert (await client.get(f"/docs/{name}")).status == 200
    assert (await client.get("/docs/other.js")).status == 404


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"])
async def test_what_browsers_show_is_taken_for_nothing_else(
    client: TestClient[Any, Any], path: str
) -> None:
    headers = (await client.get(path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_browsable_page_is_shown_in_no_frame(client: TestClient[Any, Any]) -> None:
    response = await client.get("/docs")

    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


async def test_metrics_count_by_route_never_by_address(client: TestClient[Any, Any]) -> None:
    # Not a number: the samples are full of those.
    await client.post("/api/named/somebody", data=b'{"fullName": "Ann"}')

    text = await (await client.get("/metrics")).text()
    assert 'route="/api/named/{id}"' in text
    assert "somebody" not in text


ELSEWHERE = {"Origin": "http://page.example"}


@pytest.mark.parametrize(
    ("path", "methods"), [("/api/paged", "GET"), ("/api/named/1", "POST"), ("/api/bug", "GET")]
)
async def test_a_page_of_another_origin_is_told_what_it_may_send(
    client: TestClient[Any, Any], path: str, methods: str
) -> None:
    asked = ELSEWHERE | {"Access-Control-Request-Method": methods}
    response = await client.options(path, headers=asked)

    assert response.status == 204
    assert methods in response.headers["Access-Control-Allow-Methods"]
    names = response.headers["Access-Control-Allow-Headers"].split(", ")
    expected = "Authorization Content-Type Idempotency-Key If-None-Match Last-Event-ID"
    assert names == expected.split()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/paged", 200), ("/api/paged?pageSize=0", 400), ("/api/away", 503), ("/api/no", 404)],
)
async def test_a_page_of_another_origin_may_read_what_it_is_answered(
    client: TestClient[Any, Any], path: str, status: int
) -> None:
    response = await client.get(path, headers=ELSEWHERE)

    assert response.status == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    shown = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Idempotency-Replayed", "Retry-After", "X-After"} <= {*shown}


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/nothing"])
async def test_what_is_not_for_users_is_not_for_pages_of_other_origins(
    client: TestClient[Any, Any], path: str
) -> None:
    asked = await client.options(path, headers=ELSEWHERE)
    response = await client.get(path, headers=ELSEWHERE)

    assert asked.status in {404, 405}
    for told in (asked, response):
        assert "Access-Control-Allow-Origin" not in told.headers


async def test_who_names_no_origin_is_told_of_none(client: TestClient[Any, Any]) -> None:
    response = await client.get("/api/paged")

    assert not [name for name in response.headers if name.startswith("Access-Control-")]

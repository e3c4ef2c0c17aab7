"""What every endpoint can answer stands in its service's document."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.ingest.api import Door
from services.ingest.commands.api import Commands
from services.ingest.sync.api import SyncApi
from services.orgs import api as orgs
from services.orgs.searching import api as searching
from services.query import api as query
from services.query.live import api as stream_api
from services.query.live.assembly import Live
from services.query.sessions.api import SessionsApi
from services.scoring.api import Api
from services.scoring.weights_api import WeightsApi
from shared.openapi import Endpoint, document

NOTHING: Any = None
"""Who only says what there is asks nobody."""


def endpoints() -> Iterator[Endpoint]:
    yield from Door(NOTHING, NOTHING, 0).endpoints()
    yield from SyncApi(NOTHING, NOTHING, NOTHING).endpoints()
    yield from Commands(NOTHING, NOTHING, NOTHING).endpoints()
    yield from orgs.endpoints(NOTHING, NOTHING)
    yield from searching.endpoints(NOTHING, NOTHING)
    yield from Api(NOTHING, NOTHING).endpoints()
    yield from WeightsApi(NOTHING, NOTHING, NOTHING).endpoints()
    yield from query.endpoints(NOTHING)
    yield from SessionsApi(NOTHING, NOTHING, NOTHING, NOTHING).endpoints()


def documented(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = document("any", [endpoint])["paths"][endpoint.path]
    return operation[endpoint.method.lower()]


@pytest.mark.parametrize("endpoint", [*endpoints()], ids=lambda each: f"{each.method} {each.path}")
def test_outages_strangers_and_bad_bodies_are_documented(endpoint: Endpoint) -> None:
    operation = documented(endpoint)

    expected = {"401", "503"}
    if endpoint.auth == "bearer":
        expected |= {"400"}
    if endpoint.method in {"POST", "PATCH"} and "requestBody" in operation:
        expected |= {"400", "408", "413"}
    assert expected <= operation["responses"].keys()
    assert [*operation["responses"]] == sorted(operation["responses"])


def test_a_webhook_has_a_body() -> None:
    (door,) = Door(NOTHING, NOTHING, 0).endpoints()

    assert "application/json" in documented(door)["requestBody"]["content"]


def test_who_asks_for_a_sync_or_connects_need_not_say_more() -> None:
    free = {
        (each.method, each.path)
        for each in endpoints()
        if each.body is not None and not documented(each)["requestBody"]["required"]
    }

    assert free == {("POST", "/api/sync"), ("POST", "/api/connection")}


@pytest.mark.parametrize(
    "endpoint",
    [each for each in query.endpoints(NOTHING) if each.path != "/api/contacts/{id}"],
    ids=lambda each: each.path,
)
def test_of_a_page_what_stands_beside_its_data_is_documented_and_that_it_may_not_have_changed(
    endpoint: Endpoint,
) -> None:
    whole = document("any", [endpoint])
    responses = whole["paths"][endpoint.path]["get"]["responses"]
    envelope, beside = responses["200"]["content"]["application/json"]["schema"]["allOf"]

    assert envelope["required"] == ["success", "data"]
    schema = whole["components"]["schemas"][beside["$ref"].rpartition("/")[2]]
    assert schema["required"] == ["performance"]
    assert schema["properties"].keys() == {"performance", "stale"}
    assert "content" not in responses["304"]


def headers(endpoint: Endpoint) -> tuple[set[str], set[str]]:
    """Those that may be sent, and those of any answer."""
    operation = documented(endpoint)
    asked = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
    return asked, {name for each in operation["responses"].values() for name in each["headers"]}


@pytest.mark.parametrize(
    "endpoint", Commands(NOTHING, NOTHING, NOTHING).endpoints(), ids=lambda each: each.path
)
def test_of_a_command_the_key_and_what_its_answer_says_of_it_are_documented(
    endpoint: Endpoint,
) -> None:
    asked, told = headers(endpoint)

    assert asked == {"Idempotency-Key"}
    assert told == {"Idempotency-Replayed", "Retry-After"}


@pytest.mark.parametrize(
    "endpoint",
    [each for each in endpoints() if 304 in each.answers],
    ids=lambda each: each.path,
)
def test_of_a_page_the_headers_that_save_sending_it_again_are_documented(
    endpoint: Endpoint,
) -> None:
    live = Live(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    asked, told = headers(live.with_after(endpoint))

    assert asked == {"If-None-Match"}
    assert told == {"ETag", "Retry-After", "X-After"}


def test_of_one_contact_it_is_documented_how_to_see_what_one_wrote() -> None:
    live = Live(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    (contact,) = [each for each in query.endpoints(NOTHING) if each.path == "/api/contacts/{id}"]
    operation = documented(live.with_after(contact))

    assert "after" in {each["name"] for each in operation["parameters"]}
    assert "X-After" in operation["responses"]["404"]["headers"]


def test_of_the_stream_the_header_that_resumes_it_is_documented() -> None:
    asked, _ = headers(stream_api.endpoint(NOTHING))

    assert asked == {"Last-Event-ID"}


def test_of_a_refused_sync_it_is_documented_why_and_where_the_open_one_is_named() -> None:
    (sync,) = [
        each
        for each in SyncApi(NOTHING, NOTHING, NOTHING).endpoints()
        if (each.method, each.path) == ("POST", "/api/sync")
    ]
    whole = document("any", [sync])

    assert (
        "not connected" in whole["paths"]["/api/sync"]["post"]["responses"]["409"]["description"]
    )
    assert "data" in whole["components"]["schemas"]["Error"]["properties"]

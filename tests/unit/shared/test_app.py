"""The server under every service."""

import asyncio
import json

import aiohttp
import pytest

from devstack import ports
from shared.app import (
    IDLE_S,
    LEAVE_S,
    application,
    preparing,
    server,
)
from shared.http_connection import LONGEST_LINE_BYTES
from tests.support.loops import running
from tests.support.waiting import answers, until


async def test_an_address_of_any_sensible_length_is_answered_in_json() -> None:
    port, stop = ports.free(), asyncio.Event()
    app = application([], title="Anything", pings={})
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(server(app, host="127.0.0.1", port=port)(stop))
        await until(lambda: answers(session, f"{url}/healthz"))
        long = "x" * (LONGEST_LINE_BYTES - 100)
        async with session.get(f"{url}/nowhere?q={long}") as response:
            answered = response.status, (await response.json())["code"]
        async with session.get(f"{url}/nowhere?q={2 * long}") as response:
            refused = response.status, (await response.json())["code"]
        stop.set()

    assert answered == (404, "no_such_address")
    assert refused == (400, "bad_request")


@pytest.mark.parametrize(
    "sent",
    [
        "GET /api/my-500/search?q=Zoë HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n"
        % (b"x" * 2 * LONGEST_LINE_BYTES),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["not encoded", "a space", "no host", "lower case", "a long header", "TLS"],
)
async def test_what_is_not_http_is_refused_with_a_sentence_and_a_code(sent: bytes) -> None:
    port, stop = ports.free(), asyncio.Event()
    app = application([], title="Anything", pings={})
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(server(app, host="127.0.0.1", port=port)(stop))
        await until(lambda: answers(session, f"http://127.0.0.1:{port}/healthz"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(20):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        stop.set()

    status, *headers = head.decode().lower().split("\r\n")
    told = json.loads(body)
    assert status.split()[1] == "400"
    assert "content-type: application/json" in headers
    assert (told["success"], told["code"]) == (False, "bad_request")
    assert told["error"].startswith("The request is not valid HTTP")


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"GET /he"])
@pytest.mark.parametrize("after", ["nothing", "a request"])
async def test_a_connection_that_does_not_get_on_with_a_request_is_closed(
    begun: bytes, after: str
) -> None:
    port, stop = ports.free(), asyncio.Event()
    app = application([], title="Anything", pings={})
    app[IDLE_S] = 0.3
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(server(app, host="127.0.0.1", port=port)(stop))
        await until(lambda: answers(session, f"http://127.0.0.1:{port}/healthz"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if after == "a request":
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readuntil(b'"}}') != b""
        writer.write(begun)
        async with asyncio.timeout(20):
            rest = await reader.read()
        writer.close()
        stop.set()

    assert rest == b""


async def test_a_service_that_starts_asks_to_be_asked_again_and_never_closes_its_port() -> None:
    port = ports.free()
    url = f"http://127.0.0.1:{port}"
    told = []

    async def ask() -> int:
        """On a connection of its own, which would be refused where nobody listens."""
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"{url}/api/my-500") as response,
        ):
            told.append((response.status, (await response.json())["code"]))
            assert ("Retry-After" in response.headers) is (response.status == 503)
            return response.status

    async def is_served() -> bool:
        return await ask() == 404

    async with preparing(host="127.0.0.1", port=port) as serving:
        await ask()
        async with aiohttp.ClientSession() as session:
            assert [await answers(session, url + path) for path in ("/healthz", "/metrics")] == [
                True,
                True,
            ]
            assert await answers(session, f"{url}/readyz", 503)
            assert await answers(session, f"{url}/openapi.json", 503)
        app = application([], title="Anything", pings={})
        async with running(serving(app)):
            await until(is_served)

    assert set(told) == {(503, "unavailable"), (404, "no_such_address")}


async def test_who_is_connected_to_a_service_that_stops_is_answered_once_more_and_told_so() -> (
    None
):
    app = application([], title="Anything", pings={})
    app[LEAVE_S] = 60.0
    port, stop = ports.free(), asyncio.Event()
    url = f"http://127.0.0.1:{port}"

    async def is_refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return True
        writer.close()
        return False

    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        serving = group.create_task(server(app, host="127.0.0.1", port=port)(stop))
        await until(lambda: answers(session, f"{url}/healthz"))
        stop.set()
        await until(is_refused)
        async with session.get(f"{url}/healthz") as response:
            assert (response.status, response.headers["Connection"]) == (200, "close")
        serving.cancel()

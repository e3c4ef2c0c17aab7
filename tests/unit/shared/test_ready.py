"""An answer in ready bytes, on a connection that goes on or ends."""

import asyncio

from aiohttp import web as aioweb
from aiohttp.test_utils import TestServer

from shared import ready, web
from shared.app import application
from shared.openapi import Endpoint

ASKS = b"GET /api/ready HTTP/1.1\r\nHost: x\r\n\r\n"


async def _ready(request: aioweb.Request) -> aioweb.StreamResponse:
    assert ready.suits(request)
    return ready.Ready(b'{"success":', b"true}", headers=b'ETag: "1"\r\n')


async def test_it_is_the_last_of_its_connection_once_the_process_stops_and_says_so() -> None:
    endpoint = Endpoint("GET", "/api/ready", _ready, "Ready", {200: "Ready"}, auth=None)
    app = application([endpoint], title="Test", pings={})
    async with TestServer(app) as server, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        answers = []
        for _ in range(2):
            writer.write(ASKS)
            answers.append(await reader.readuntil(b"true}"))
        app[web.LEAVING].set()
        writer.write(ASKS)
        answers.append(await reader.read())
        writer.close()

    heads = [answer.partition(b"\r\n\r\n")[0].split(b"\r\n") for answer in answers]
    assert [b"Connection: close" in head for head in heads] == [False, False, True]
    for head, answer in zip(heads, answers, strict=True):
        assert head[0] == b"HTTP/1.1 200 OK"
        assert {b'ETag: "1"', b"Content-Length: 16"} <= set(head)
        assert answer.endswith(b'\r\n\r\n{"success":true}')

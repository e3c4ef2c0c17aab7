"""The server under every service."""

import asyncio

import aiohttp

from devstack import ports
from shared.app import LONGEST_LINE_BYTES, Health, application, server
from tests.support.waiting import answers, until


async def test_an_address_of_any_sensible_length_is_answered_in_json() -> None:
    port, stop = ports.free(), asyncio.Event()
    app = application([], title="Anything", health=Health({}))
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(server(app, host="127.0.0.1", port=port)(stop))
        await until(lambda: answers(session, f"{url}/healthz"))
        long = "x" * (LONGEST_LINE_BYTES - 100)
        async with session.get(f"{url}/nowhere?q={long}") as response:
            answered = response.status, (await response.json())["code"]
        async with session.get(f"{url}/nowhere?q={2 * long}") as response:
            refused = response.status
        stop.set()

    assert answered == (404, "not_found")
    assert refused == 400

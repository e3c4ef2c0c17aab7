"""A bare aiohttp + uvloop handler that reads a POST body: the yardstick of the other figures.

Usage: python -m bench.bare PORT
"""

import asyncio
import sys

import uvloop
from aiohttp import web

ANSWER = b'{"success":true}'


async def receive(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_post("/webhooks/pipedrive", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main(int(sys.argv[1])))

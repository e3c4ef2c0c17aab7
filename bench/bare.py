"""Bare aiohttp + uvloop handlers, the baseline of the other figures: one reads a POST body and
answers a constant, one answers the bytes of a file.

python bench/bare.py PORT [FILE]
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

ANSWER = b'{"success":true}'


async def main(port: int, page: bytes) -> None:
    async def receive(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=page, headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_post("/webhooks/pipedrive", receive)
    app.router.add_get("/api/my-500", show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    page = Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else ANSWER
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main(int(sys.argv[1]), page))

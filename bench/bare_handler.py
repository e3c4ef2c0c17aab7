"""A bare aiohttp handler on uvloop that answers the bytes of a file, to measure others against.

python bench/bare_handler.py PORT FILE
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web


async def main(port: int, body: bytes) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_get("/api/my-500", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))

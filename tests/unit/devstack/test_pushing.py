"""The command: history once, then the trickle, and a second run that goes on."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from devstack.pipedrive.__main__ import main

COMPANY = "8087566"


class Receiver:
    """Keeps the bodies of the right password; `count` wakes whoever waits for more."""

    def __init__(self):
        self.bodies = []
        self.more = asyncio.Condition()
        self.refusing = False

    async def handle(self, request):
        if self.refusing or "Basic" not in request.headers.get("Authorization", ""):
            return web.Response(status=401)
        self.bodies.append(await request.json())
        async with self.more:
            self.more.notify_all()
        return web.Response()

    async def reach(self, count):
        async with asyncio.timeout(30), self.more:
            await self.more.wait_for(lambda: len(self.bodies) >= count)

    def ids(self):
        return [body["meta"]["id"] for body in self.bodies if body["meta"]["entity"] != "user"]

    @asynccontextmanager
    async def listening(self, port=0) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def pushing(url, state, *more):
    arguments = [
        *("--target", url, "--user", "hook", "--password", "secret", "--company", COMPANY),
        *("--users", "1", "--contacts", "20", "--organizations", "5", "--v1-share", "0"),
        *("--state", str(state), *more),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devstack.pipedrive",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process):
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_history_is_pushed_once_and_then_the_trickle_until_sigterm(tmp_path):
    receiver = Receiver()
    async with receiver.listening() as url, pushing(url, tmp_path, "--rate", "50") as process:
        await receiver.reach(200)
        process.send_signal(signal.SIGTERM)
        code, out, err = await ended(process)

    assert (code, err) == (0, "")
    assert "users 1001" in out
    assert "history 100%" in out
    assert out.strip().endswith("stopped")
    assert len(set(receiver.ids())) == len(receiver.ids())


async def test_a_second_run_goes_on_where_the_first_one_stopped(tmp_path):
    receiver = Receiver()
    async with receiver.listening() as url:
        for count in (160, 260):
            async with pushing(url, tmp_path, "--rate", "100") as process:
                await receiver.reach(count)
                process.send_signal(signal.SIGINT)
                code, _out, _err = await ended(process)
                assert code == 0

    by_id = {}
    for body in receiver.bodies:
        # What was on its way at the stop comes again, and is the same.
        same = by_id.setdefault((body["meta"]["entity"], body["meta"]["id"]), body)
        assert same == body or body["meta"]["entity"] == "user"
    created = [one for one in by_id.values() if one["meta"]["action"] == "create"]
    people = [one["data"]["id"] for one in created if one["meta"]["entity"] == "person"]
    assert sorted(set(people))[:20] == list(range(1, 21))


async def test_a_receiver_that_starts_late_loses_nothing(tmp_path, unused_port):
    receiver = Receiver()
    url = f"http://127.0.0.1:{unused_port}/hook"
    async with pushing(url, tmp_path, "--rate", "0") as process:
        first = await process.stdout.readline()
        second = await process.stdout.readline()
        async with receiver.listening(unused_port):
            code, out, _err = await ended(process)

    assert b"users 1001" in first
    assert second.decode().strip() == f"pipedrive: {url} is not listening; trying again"
    assert code == 0
    assert "accepted again" in out
    people = {one["data"]["id"] for one in receiver.bodies if is_new(one, "person")}
    assert people >= set(range(1, 21))


async def test_a_wrong_password_ends_in_a_sentence_when_patience_does(tmp_path):
    receiver = Receiver()
    receiver.refusing = True
    more = ("--rate", "0", "--patience", "0.2")
    async with receiver.listening() as url, pushing(url, tmp_path, *more) as process:
        code, out, err = await ended(process)

    assert (code, err) == (1, "")
    assert "refuses the user or password (401); gave up after 0.2 s" in out


def test_a_state_folder_of_another_company_is_refused(tmp_path, capsys):
    common = ["--target", "http://127.0.0.1:9/hook", "--user", "a", "--password", "b"]
    small = ["--contacts", "1", "--users", "1", "--patience", "0", "--state", str(tmp_path)]

    assert main([*common, *small, "--company", "1"]) == 1
    assert main([*common, *small, "--company", "2"]) == 1

    assert "use the same arguments or another --state folder" in capsys.readouterr().out


def is_new(body, entity):
    return (body["meta"]["entity"], body["meta"]["action"]) == (entity, "create")


@pytest.fixture
def unused_port(unused_tcp_port_factory):
    return unused_tcp_port_factory()

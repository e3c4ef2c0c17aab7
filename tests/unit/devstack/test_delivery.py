"""Delivery as Pipedrive does it, against a real local receiver, with time sped up."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from devstack.pipedrive.delivery import Counters, Faults, Outcome, Rules, Sender, Target

FAST = Rules(time_scale=0.001, answer_within_s=0.5)


class Receiver:
    """Answers what `answer` says for the n-th request; keeps what it got."""

    def __init__(self, answer=lambda number: 200):
        self.answer = answer
        self.bodies = []
        self.headers = []

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(request.headers)
        status = self.answer(len(self.bodies))
        if status is None:
            await asyncio.sleep(60)
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status or 200, headers=headers)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{port}/hook"
        finally:
            await runner.cleanup()


def a_body(number=1):
    return {"data": {}, "previous": None, "meta": {"id": str(number), "attempt": 1}}


async def deliver(receiver, bodies, rules=FAST, faults=None) -> tuple[list[Outcome], Counters]:
    outcomes: list[Outcome] = []
    async with receiver.listening() as url:
        async with Sender(Target(url, "hook", "pässword"), rules, faults) as sender:
            for body in bodies:
                await sender.push(body, outcomes.append)
        return outcomes, sender.counters


async def test_an_event_goes_out_with_basic_auth_and_pipedrives_headers():
    receiver = Receiver()

    outcomes, counters = await deliver(receiver, [a_body()])

    (headers,) = receiver.headers
    assert outcomes == [Outcome.OK]
    assert counters == Counters(sent=1, ok=1)
    assert headers["Authorization"] == "Basic " + b64encode("hook:pässword".encode()).decode()
    assert headers["User-Agent"] == "Pipedrive Webhooks"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept"] == "application/json, text/plain, */*"


async def test_a_failed_event_is_tried_again_with_a_higher_attempt():
    receiver = Receiver(lambda number: 503 if number < 3 else 202)

    outcomes, counters = await deliver(receiver, [a_body()])

    assert outcomes == [Outcome.OK]
    assert [body["meta"]["attempt"] for body in receiver.bodies] == [1, 2, 3]
    assert counters == Counters(sent=3, ok=1, retried=2)


async def test_after_three_retries_an_event_is_dropped():
    receiver = Receiver(lambda _number: 500)

    outcomes, counters = await deliver(receiver, [a_body()])

    assert outcomes == [Outcome.DROPPED]
    assert counters == Counters(sent=4, retried=3, dropped=1)


async def test_a_redirect_is_a_failure_and_not_followed():
    receiver = Receiver(lambda _number: 302)

    outcomes, _counters = await deliver(receiver, [a_body()])

    assert outcomes == [Outcome.DROPPED]
    assert len(receiver.bodies) == 4


async def test_silence_is_a_failure_after_the_time_for_an_answer():
    receiver = Receiver(lambda number: None if number == 1 else 200)
    rules = Rules(time_scale=0.001, answer_within_s=0.05)

    outcomes, counters = await deliver(receiver, [a_body()], rules)

    assert outcomes == [Outcome.OK]
    assert counters.retried == 1


async def test_the_tenth_failed_first_attempt_bans_and_events_meanwhile_are_lost():
    receiver = Receiver(lambda _number: 500)
    rules = Rules(time_scale=0.001, concurrency=1, ban_s=60_000, retry_after_s=())

    outcomes, counters = await deliver(receiver, [a_body(n) for n in range(15)], rules)

    assert outcomes.count(Outcome.DROPPED) == 10
    assert outcomes.count(Outcome.BANNED) == 5
    assert counters == Counters(sent=10, dropped=10, banned=5, bans=1)


async def test_failed_retries_do_not_count_for_a_ban():
    receiver = Receiver(lambda _number: 500)

    _outcomes, counters = await deliver(receiver, [a_body(n) for n in range(9)])

    assert counters == Counters(sent=36, retried=27, dropped=9)


async def test_after_a_ban_events_flow_again():
    receiver = Receiver(lambda number: 500 if number <= 10 else 200)
    rules = Rules(time_scale=0.001, concurrency=1, ban_s=100, retry_after_s=())
    outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
    async with (
        asyncio.timeout(30),
        receiver.listening() as url,
        Sender(Target(url, "hook", "password"), rules) as sender,
    ):
        for number in range(11):
            await sender.push(a_body(number), outcomes.put_nowait)
        first = [await outcomes.get() for _ in range(11)]
        outcome = Outcome.BANNED
        while outcome is Outcome.BANNED:
            await sender.push(a_body(99), outcomes.put_nowait)
            outcome = await outcomes.get()

    assert first == [Outcome.DROPPED] * 10 + [Outcome.BANNED]
    assert outcome is Outcome.OK
    assert receiver.bodies[-1]["meta"]["id"] == "99"


async def test_one_slot_keeps_the_order():
    receiver = Receiver()

    await deliver(receiver, [a_body(n) for n in range(20)], Rules(concurrency=1))

    assert [int(body["meta"]["id"]) for body in receiver.bodies] == list(range(20))


async def test_no_more_requests_at_once_than_allowed():
    running, most = 0, 0

    class Slow(Receiver):
        async def handle(self, request):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await request.read()
            for _ in range(5):
                await asyncio.sleep(0)
            running -= 1
            return web.Response()

    await deliver(Slow(), [a_body(n) for n in range(60)], Rules(concurrency=4))

    assert 1 < most <= 4


async def test_faults_duplicate_reorder_and_delay_but_lose_nothing():
    receiver = Receiver()
    faults = Faults(seed=1, duplicated=0.3, reorder_window=8, delayed=0.2)

    outcomes, counters = await deliver(receiver, [a_body(n) for n in range(60)], FAST, faults)

    got = [int(body["meta"]["id"]) for body in receiver.bodies]
    assert set(got) == set(range(60))
    assert got != sorted(got)
    assert len(got) == 60 + counters.duplicated > 60
    assert outcomes == [Outcome.OK] * 60


async def test_nobody_listening_is_said_in_words():
    receiver = Receiver()
    async with receiver.listening() as url:
        pass

    async with Sender(Target(url, "hook", "password"), FAST) as sender:
        answer = await sender.post(a_body())

    assert not answer.is_ok
    assert answer.problem == f"{url} is not listening"


async def test_a_refused_password_is_said_in_words():
    receiver = Receiver(lambda _number: 401)
    async with (
        receiver.listening() as url,
        Sender(Target(url, "hook", "password"), FAST) as sender,
    ):
        answer = await sender.post(a_body())

    assert answer.problem == f"{url} refuses the user or password (401)"

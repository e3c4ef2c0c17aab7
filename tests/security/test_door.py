"""The webhook door takes whatever an authenticated sender sends, in whatever way, and stays up."""

import asyncio
import copy
import gzip
import io
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import orjson
import pytest
import requests
from aiohttp import ClientConnectionError
from aiohttp import web as aioweb
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.ingest.api import Door
from shared import topics, web
from shared.app import application
from shared.events import Source
from shared.tenants import Tenants
from tests.security.world import OURS, World
from tests.support.log_reading import Log
from tests.support.pipe import authorization, life
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATH = "/webhooks/pipedrive"
EXAMPLES = 400
FROM_WEBHOOKS = {Source.WEBHOOK_V1, Source.WEBHOOK_V2}
ANSWER_S = 20.0
LARGEST = 1024 * 1024
BODIES = life(9, 150, OURS)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["", "\x00", "2026-13-45T99:99:99Z", "9" * 40, "-1", "1e9", " 7 ", "🙂"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "utf-7", "cp500")


def places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs: Any = ()
    if isinstance(found, dict):
        pairs = found.items()
    elif isinstance(found, list):
        pairs = enumerate(found)
    for name, each in pairs:
        yield from places(each, (*path, name))


def put(body: Any, path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(body)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


@st.composite
def mutated(draw: Any) -> bytes:
    """A webhook's body with a few of its values replaced or gone, or with its bytes damaged."""
    body: Any = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(list(places(body))))
        body = put(body, path, draw(JSON), remove=draw(st.booleans()))
        if not isinstance(body, dict | list):
            break
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    content = text.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(content)))
        content = (
            content[:at] + draw(st.binary(max_size=6)) + content[at + draw(st.integers(0, 9)) :]
        )
    return content


def names_another_company(content: bytes) -> bool:
    try:
        meta = json.loads(content)["meta"]
        return str(meta["company_id"]).strip() != str(OURS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


Count = Callable[[], Awaitable[Counter[str]]]


@pytest.fixture
def stored(running: World) -> Count:
    """How many events webhooks have become, and how many dead letters.

    What a sync tells is in the same topics, and a test of tokens asks for one.
    """
    events = [t.name for t in topics.ALL if t.name.startswith("pipedrive.")]
    letters = topics.dead_letters_of(topics.WEBHOOKS)
    log = Log(running.cluster.environment["KAFKA_BOOTSTRAP_SERVERS"], running.topic_prefix)

    async def count() -> Counter[str]:
        found: Counter[str] = Counter()
        for record in await log.records(*events, letters):
            if record.topic == running.topic_prefix + letters:
                found["letters"] += 1
            elif orjson.loads(record.value)["source"] in FROM_WEBHOOKS:
                found["events"] += 1
        return found

    return count


async def test_a_body_of_any_content_is_stored_as_an_event_or_a_dead_letter(
    running: World, stored: Count
) -> None:
    contents = bodies()
    before = await stored()

    statuses = await asyncio.to_thread(send, running, contents)

    assert set(statuses) <= {200, 403}
    assert statuses[200] > EXAMPLES / 2
    assert (await stored() - before).total() == statuses[200]
    await everything_still_runs(running)


def bodies() -> list[bytes]:
    """Drawn before any is sent: Hypothesis takes it for a fault if somebody else draws random
    numbers meanwhile, as a consumer in the test's loop does.
    """
    found: list[bytes] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(mutated())
    def run(content: bytes) -> None:
        found.append(content)

    run()
    return found


def send(world: World, contents: Iterable[bytes]) -> Counter[int]:
    found: Counter[int] = Counter()
    url = world.url("ingest", PATH)
    headers = {"Authorization": authorization(OURS)}
    with requests.Session() as session:
        for content in contents:
            response = session.post(url, data=content, headers=headers, timeout=ANSWER_S)
            found[response.status_code] += 1
            if response.status_code == 403:
                assert names_another_company(content), content
            else:
                assert response.status_code == 200, (response.status_code, content)
    return found


async def everything_still_runs(world: World) -> None:
    async def are_ready() -> bool:
        for name, instance in world.services.items():
            assert instance.process.poll() is None, instance.log.read_text()[-3000:]
            async with world.http.get(world.url(name, "/readyz")) as response:
                if response.status != 200:
                    return False
        return True

    await until(are_ready)


DEEP = 100_000
STRANGE = {
    "empty": b"",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and inside": b'{"meta":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "unclosed": b"[" * DEEP,
    "a number of a megabyte": b"9" * (LARGEST - 100),
    "a string of a megabyte": b'"' + b"x" * (LARGEST - 100) + b'"',
    "a name of a megabyte": b'{"' + b"k" * (LARGEST - 100) + b'":1}',
    "doubled keys": b'{"meta":{"v":1},"meta":{"v":2},"data":1,"data":null}',
    "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(60_000)) + b"}",
    "half an emoji": rb'{"data":{"name":"\ud83d"},"meta":{"entity":"person"}}',
    "not finite": b'{"data":{"id":NaN},"meta":{"timestamp":1e999}}',
    "NUL": b'{"data":{"name":"\\u0000"}}',
    "bytes": bytes(range(256)) * 16,
    "html": b"<html></html>",
}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_body_goes_to_the_dead_letters(
    running: World, stored: Count, name: str
) -> None:
    before = await stored()

    assert await post(running, STRANGE[name]) == 200
    assert await stored() - before == {"letters": 1}


@pytest.mark.parametrize("size", [LARGEST + 1, 5 * LARGEST])
async def test_a_body_that_is_too_large_is_refused(running: World, size: int) -> None:
    assert await post(running, b" " * size) == 413
    assert await post(running, chunks(b" " * size)) == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=utf-7"},
        {"Content-Type": "application/json; charset=no-such"},
        {"Content-Type": 'multipart/form-data; boundary="'},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ";;;"},
        {"Content-Encoding": "identity"},
        {"Content-Encoding": "no-such"},
        {"Content-Encoding": "br"},
        {"Content-Encoding": "zstd"},
        {"Content-Encoding": "gzip, gzip"},
        {"Accept": "text/html", "Accept-Encoding": "br;q=1"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Cookie": "a=b;" * 500},
        {"Range": "bytes=0-1"},
        {"If-Match": "*"},
        {"Expect": "100-continue"},
    ],
)
async def test_headers_do_not_change_what_becomes_of_a_webhook(
    running: World, stored: Count, headers: dict[str, str]
) -> None:
    before = await stored()

    assert await post(running, orjson.dumps(BODIES[0]), **headers) == 200
    assert await stored() - before == {"events": 1}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_bodies_are_read_and_bombs_are_refused(
    running: World, stored: Count, encoding: str
) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    headers = {"Content-Encoding": encoding}
    before = await stored()

    assert await post(running, pack(orjson.dumps(BODIES[1])), **headers) == 200
    bomb = pack(b" " * (200 * LARGEST))
    try:
        assert await post(running, bomb, **headers) == 413
    except ClientConnectionError:
        pass  # refused before it was sent to its end
    assert await post(running, b"not compressed at all", **headers) == 200
    assert await post(running, pack(orjson.dumps(BODIES[1]))[:-9], **headers) == 200
    assert await stored() - before == {"events": 1, "letters": 2}


async def post(world: World, content: Any, **headers: str) -> int:
    # On a connection of its own: what cannot be decoded ends the connection after the answer.
    whole = {"Authorization": authorization(OURS), "Connection": "close", **headers}
    url = world.url("ingest", PATH)
    sent = io.BytesIO(content) if isinstance(content, bytes) else content
    async with world.http.post(url, data=sent, headers=whole) as response:
        await response.read()
        return response.status


async def chunks(content: bytes) -> Any:
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]


async def raw(world: World, content: bytes, *, answers: int = 1) -> bytes:
    """What comes back on a connection on which these bytes are sent as they are."""
    port = world.services["ingest"].port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(content)
        async with asyncio.timeout(ANSWER_S):
            while len(statuses(received)) < answers:
                more = await reader.read(65_536)
                if not more:
                    break
                received += more
    finally:
        writer.close()
    return received


def request(*lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    head = (
        f"POST {PATH} HTTP/{version}",
        "Host: x",
        f"Authorization: {authorization(OURS)}",
        *lines,
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def statuses(answered: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+) ", answered)]


BODY = orjson.dumps(BODIES[2])
SIZED = request(f"Content-Length: {len(BODY)}", body=BODY)
CHUNKED = request("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SIZED, {200}),
        (CHUNKED, {200}),
        (request(), {200}),
        (request(body=BODY), {200, 400}),
        (request("Content-Length: 0"), {200}),
        (request("Content-Length: -1", body=BODY), {400}),
        (request("Content-Length: 1e3", body=BODY), {400}),
        (request("Content-Length: 3", "Content-Length: 5", body=b"12345"), {400}),
        (request("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), {400}),
        (request("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), {400}),
        (request("Transfer-Encoding: chunked", body=b"zz\r\n\r\n"), {200, 400}),
        (request("X: " + "y" * 100_000), {400, 431}),
        (request(*[f"X-{n}: y" for n in range(5_000)]), {200, 400, 431}),
        (request("No colon here"), {400}),
        (request("X: a\x00b"), {400}),
        (b"\r\n\r\n" + SIZED, {200, 400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", {400}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 404, 505}),
        (b"POST " + b"/a" * 50_000 + b" HTTP/1.1\r\n\r\n", {400, 414}),
    ],
)  # fmt: skip
async def test_a_request_is_answered_or_refused_and_the_service_goes_on(
    running: World, content: bytes, expected: set[int]
) -> None:
    answered = await raw(running, content)

    assert {*statuses(answered)} <= expected
    assert statuses(answered)
    assert await post(running, BODY) == 200


async def test_a_request_of_the_old_protocol_is_answered(running: World) -> None:
    old = request(f"Content-Length: {len(BODY)}", body=BODY, version="1.0")

    assert b"200 OK" in (await raw(running, old)).split(b"\r\n")[0]


async def test_requests_in_one_piece_are_answered_in_their_order(running: World) -> None:
    refused = SIZED.replace(b"Authorization", b"X-Authorization")

    answered = await raw(running, SIZED + refused + CHUNKED + SIZED, answers=4)

    assert statuses(answered) == [200, 401, 200, 200]


async def test_random_bytes_do_not_end_the_service(running: World) -> None:
    rng = random.Random(7)  # noqa: S311  repeatable
    for _ in range(50):
        at = rng.randrange(len(SIZED))
        await raw(running, SIZED[:at] + rng.randbytes(8) + SIZED[at:] + b"\r\n\r\n" * 2)

    await everything_still_runs(running)


class NoIntake:
    """Where no body arrives that is not whole."""

    async def store(self, content: bytes, *, company_id: int) -> Any:
        raise AssertionError("half a body was handed on")


async def test_a_body_that_trickles_in_is_given_up(tmp_path: Any) -> None:
    tenants = tmp_path / "tenants.json"
    tenants.write_text(
        json.dumps([{"company_id": OURS, "webhook_user": "u", "webhook_password": "p"}])
    )
    door = Door(Tenants(tenants), NoIntake(), LARGEST)
    app: aioweb.Application = application(door.endpoints(), title="slow", pings={})
    app[web.READ_S] = 0.2
    gone_on = asyncio.Event()

    async def trickle() -> Any:
        yield b"{"
        await gone_on.wait()
        yield b"}"

    async with TestClient(TestServer(app)) as client:
        headers = {"Authorization": "Basic dTpw"}
        async with client.post(PATH, data=trickle(), headers=headers) as response:
            gone_on.set()

            assert response.status == 408
            assert (await response.json())["code"] == "slow_body"

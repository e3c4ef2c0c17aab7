"""Sessions: who is refused, how soon on every instance, and where users are signed in."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from redis import Redis

from services.query import api
from services.query.batch import User
from services.query.limits import Limits, Rate
from services.query.live.pruning import Pruner
from services.query.sessions import store as access_store
from shared import access, auth, topics
from shared.access import UserKey
from shared.auth import Authenticator, Identity, Session
from shared.events import parse
from shared.kafka.client import ensure_topics
from shared.kafka.consumer import Received
from shared.kafka.replay import replay
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.cluster import SECRET
from tests.support.infra import Infra
from tests.support.live import Client
from tests.support.query_facts import COMPANY
from tests.support.query_stage import Stage, staged
from tests.support.waiting import until

pytestmark = pytest.mark.integration

PROMPTLY_S = 1.0
WAITS = "SELECT true FROM pg_locks WHERE relation = 'sessions'::regclass AND NOT granted"


@pytest.fixture
async def stage(
    database_url: str, redis_url: str, topic_prefix: str, infra: Infra
) -> AsyncIterator[Stage]:
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=1
    )
    await ensure_topics(settings, [topics.APP_SESSIONS])
    async with staged(database_url, redis_url, settings) as made:
        yield made


def user(number: int, version: int = 1, **data: Any) -> Received:
    body = {"name": f"User {number}", "email": f"u{number}@example.com", "active": True} | data
    return facts.changed(topics.USERS, number, version, data=body)


async def status(client: Client, base: str, path: str = "/api/my-500") -> int:
    async with client.http.get(base + path, headers=client.headers) as response:
        await response.read()
        return response.status


async def ask(
    client: Client, base: str, path: str, *, method: str = "GET", **body: Any
) -> tuple[int, Any]:
    headers = {**client.headers, "User-Agent": "test browser"}
    sent = {"json": body} if method == "POST" else {}
    async with client.http.request(method, base + path, headers=headers, **sent) as response:
        return response.status, await response.json()


async def refused_promptly(client: Client, *bases: str) -> None:
    async def everywhere() -> bool:
        return [await status(client, base) for base in bases] == [401] * len(bases)

    await until(everywhere, PROMPTLY_S)


async def test_a_deactivated_user_is_refused_everywhere_until_active_again(stage: Stage) -> None:
    await stage.told(user(7), user(8))
    client, colleague, stranger = stage.client("7"), stage.client("8"), stage.client("9")
    async with stage.instance() as one, stage.instance() as two:
        assert [await status(client, each.url) for each in (one, two)] == [200, 200]
        following = client.following(one.url)
        async with following:
            await until(lambda: _has_events(client))
            await stage.told(user(7, 2, active=False))
            await refused_promptly(client, one.url, two.url)
            await until(lambda: _no_streams(one), PROMPTLY_S)

        assert await status(colleague, one.url) == 200
        assert await status(stranger, one.url) == 200
        _, answer = await ask(client, one.url, "/api/my-500")
        assert answer["error"] == "This user is deactivated in Pipedrive."
        await stage.told(facts.changed(topics.USERS, 8, 2, data=None))
        await refused_promptly(colleague, one.url, two.url)

        async def is_back() -> bool:
            return await status(client, two.url) == 200

        await stage.told(user(7, 3))
        await until(is_back, PROMPTLY_S)


async def _has_events(client: Client) -> bool:
    return bool(client.events)


async def _no_streams(instance: Any) -> bool:
    return not instance.live.hub.open


async def test_an_instance_that_starts_knows_who_is_refused(stage: Stage) -> None:
    await stage.told(user(7, active=False))

    async with stage.instance() as late:
        assert await status(stage.client("7"), late.url) == 401


async def test_one_ended_session_leaves_the_others(stage: Stage) -> None:
    phone, laptop = stage.client(jti="phone"), stage.client(jti="laptop")
    async with stage.instance() as one, stage.instance() as two:
        for client in (phone, laptop):
            assert await status(client, one.url) == 200
        _, listed = await ask(laptop, one.url, "/api/sessions")
        devices = listed["data"]["sessions"]
        other = next(each for each in devices if not each["isCurrent"])
        code, answer = await ask(laptop, two.url, f"/api/sessions/{other['id']}", method="DELETE")

        assert (code, answer["data"]["sessionId"]) == (200, auth.token_id("phone"))
        await refused_promptly(phone, one.url, two.url)
        assert await status(laptop, two.url) == 200
        _, after = await ask(laptop, one.url, "/api/sessions")
        assert [each["isCurrent"] for each in after["data"]["sessions"]] == [True]
        assert {each["userAgent"] for each in after["data"]["sessions"]} == {"test browser"}


async def test_all_tokens_of_a_user_end_and_later_ones_do_not(stage: Stage) -> None:
    now = int(time.time())
    old, undated = stage.client(iat=now - 60), stage.client()
    later = stage.client(iat=now, exp=now + 900)
    async with stage.instance() as one, stage.instance() as two:
        code, _ = await ask(old, one.url, "/api/sessions/revoke", method="POST")

        assert code == 200
        for client in (old, undated):
            await refused_promptly(client, one.url, two.url)
        _, refused = await ask(stage.client(exp=now + 900), one.url, "/api/my-500")
        assert refused["error"] == access.ALL_UNDATED_REVOKED
        assert await status(later, one.url) == 401  # within the same second it cannot be told
        until_then = await stage.pool.fetchval(
            "SELECT extract(epoch FROM revoked_at)::float8 FROM revocations"
        )
        again = Session(Identity(COMPANY, 7, False), "t", until_then + 0.1, now + 900)
        assert one.live.sessions.why(again) is None


async def test_a_session_is_ended_by_its_id_with_a_sign_in_it_that_no_text_has(
    stage: Stage,
) -> None:
    client = stage.client()
    async with stage.instance() as one:
        _, me = await ask(client, one.url, "/api/me")
        named = me["data"]["sessionId"]
        ended, answer = await ask(client, one.url, f"/api/sessions/{named}%00", method="DELETE")

    assert (ended, answer["data"]["sessionId"]) == (200, named)


async def test_an_admin_ends_the_sessions_of_others_and_nobody_else_does(stage: Stage) -> None:
    admin, nosy = stage.client("1", role="admin"), stage.client("2")
    victim, abroad = stage.client("7", jti="x"), stage.client("7", company=COMPANY + 1, jti="x")
    async with stage.instance() as one:
        for client in (victim, abroad):
            await status(client, one.url)
        path = "/api/sessions/revoke"
        refused, _ = await ask(nosy, one.url, path, method="POST", userId=7)
        listing, _ = await ask(nosy, one.url, "/api/sessions?userId=7")
        own_jti, _ = await ask(nosy, one.url, path, method="POST", jti="x")
        session_id = auth.token_id("x")
        deleting, _ = await ask(nosy, one.url, f"/api/sessions/{session_id}", method="DELETE")
        still = await status(victim, one.url)
        done, answer = await ask(admin, one.url, path, method="POST", userId=7, jti="x")

        assert (refused, listing, own_jti, deleting, still) == (403, 403, 200, 404, 200)
        assert (done, answer["data"]) == (200, {"userId": "7", "sessionId": session_id})
        assert await status(victim, one.url) == 401
        assert await status(abroad, one.url) == 200


async def test_of_a_users_sessions_the_hundred_seen_last_are_told(stage: Stage) -> None:
    await stage.pool.execute(
        """
        INSERT INTO sessions
        SELECT $1, 7, 'token ' || n, 'test browser', now() - n * interval '1 minute',
               now() - n * interval '1 minute', now() - interval '1 day', now() + interval '1 day'
          FROM generate_series(1, 150) AS n
        """,
        COMPANY,
    )
    client = stage.client(jti="mine")
    async with stage.instance() as one:
        code, answer = await ask(client, one.url, "/api/sessions")

    told = [each["id"] for each in answer["data"]["sessions"]]
    assert code == 200
    assert told == [auth.token_id("mine"), *(f"token {n}" for n in range(1, 100))]


async def test_an_admin_who_ends_a_session_of_the_same_name_as_anothers_ends_their_own(
    stage: Stage,
) -> None:
    admin = stage.client("9", role="admin", jti="laptop")
    colleagues = [stage.client(number, jti="laptop") for number in ("1", "20")]
    async with stage.instance() as one:
        for client in (admin, *colleagues):
            await status(client, one.url)
        path = f"/api/sessions/{auth.token_id('laptop')}"
        code, answer = await ask(admin, one.url, path, method="DELETE")

        assert (code, answer["data"]["userId"]) == (200, "9")
        assert await status(admin, one.url) == 401
        assert [await status(client, one.url) for client in colleagues] == [200, 200]


@pytest.mark.parametrize(
    "sent", [{"jti": ""}, {"userId": -1}, {"surprise": 1}, {"userId": "x"}, {"user_id": 9}]
)
async def test_what_cannot_be_meant_is_refused(stage: Stage, sent: dict[str, Any]) -> None:
    async with stage.instance() as one:
        code, answer = await ask(
            stage.client(), one.url, "/api/sessions/revoke", method="POST", **sent
        )

    assert (code, answer["code"]) == (400, "bad_request")


async def test_a_revocation_is_in_the_log_and_the_log_alone_brings_it_back(stage: Stage) -> None:
    async with stage.instance() as one:
        client = stage.client(jti="a")
        await status(client, one.url)
        await ask(stage.client("8"), one.url, "/api/sessions/revoke", method="POST", jti="b")
        await ask(stage.client("8"), one.url, "/api/sessions/revoke", method="POST")
        await ask(client, one.url, "/api/sessions/revoke", method="POST", jti="a")
    before = await stage.pool.fetch("SELECT * FROM revocations ORDER BY user_id, token_id")
    logged = [
        Received(record.topic.name, parse(record.topic.model, record.value))
        async for stretch in replay(stage.settings, [topics.APP_SESSIONS])
        for record in stretch.records
    ]
    await stage.pool.execute("TRUNCATE revocations")

    for fact in [*reversed(logged), *logged]:
        await stage.told(fact)

    after = await stage.pool.fetch("SELECT * FROM revocations ORDER BY user_id, token_id")
    assert len(logged) == len(after) == 3
    assert after == before


async def test_a_revocation_is_in_force_for_an_hour_longer_than_its_token_by_postgres_clock(
    stage: Stage,
) -> None:
    await stage.pool.execute(
        """
        INSERT INTO revocations (company_id, user_id, token_id, revoked_at, expires_at)
        SELECT $1, 7, token_id, now(), now() - ago
          FROM (VALUES ('young', interval '59 minutes'), ('old', interval '61 minutes'))
               AS token (token_id, ago)
        """,
        COMPANY,
    )

    async with stage.pool.acquire() as conn:
        everyone = await access_store.revoked(conn, access_store.BEGINNING)
        named = await access_store.revoked_of(conn, [UserKey(COMPANY, 7)])
        await Pruner(stage.pool).prune()
        left = await conn.fetch("SELECT token_id FROM revocations")

    assert [each.token_id for each in everyone] == ["young"]
    assert [each.token_id for each in named] == ["young"]
    assert [row["token_id"] for row in left] == ["young"]


async def test_a_token_that_was_seen_is_revoked_for_as_long_as_it_lives(stage: Stage) -> None:
    now = int(time.time())
    client = stage.client(jti="own", exp=now + 900)
    others = [stage.client(jti="twice", exp=now + lives) for lives in (3600, 1800)]
    async with stage.instance() as one:
        for each in others:
            await status(each, one.url)
            await one.live.sessions.flush()
        for jti in ("twice", "never seen", "own"):
            code, _ = await ask(client, one.url, "/api/sessions/revoke", method="POST", jti=jti)
            assert code == 200
    rows = await stage.pool.fetch("SELECT token_id, expires_at FROM revocations")

    assert {row["token_id"]: row["expires_at"] for row in rows} == {
        auth.token_id("own"): access.instant(now + 900),
        auth.token_id("twice"): access.instant(now + 3600),
        auth.token_id("never seen"): None,
    }


async def test_sessions_are_revoked_within_the_users_rate(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance(Limits(Rate(0.001, burst=2))) as one:
        found = [
            await ask(client, one.url, "/api/sessions/revoke", method="POST", jti=jti)
            for jti in ("a", "b", "c")
        ]

    assert [code for code, _ in found] == [200, 200, 429]
    assert await stage.pool.fetchval("SELECT count(*) FROM revocations") == 2


async def test_so_many_tokens_that_nobody_saw_are_revoked_and_then_only_all(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO revocations SELECT $1, 7, 'unseen ' || n, now(), NULL"
        "  FROM generate_series(2, $2::int) AS n",
        COMPANY,
        access_store.MOST_UNSEEN,
    )
    client, colleague = stage.client(jti="seen"), stage.client("8")
    async with stage.instance() as one:

        async def revoke(by: Client, **what: str) -> int:
            code, answer = await ask(by, one.url, "/api/sessions/revoke", method="POST", **what)
            assert (code == 409) is (answer.get("code") == "too_many_revoked")
            return code

        last = [await revoke(client, jti=jti) for jti in ("a", "b", "a")]
        others = [await revoke(colleague, jti="b"), await revoke(client, jti="seen")]
        everything = await revoke(stage.client(jti="another"))

    assert last == [200, 409, 200]
    assert others == [200, 200]
    assert everything == 200


async def test_tokens_that_nobody_saw_are_forgotten_once_all_were_revoked(stage: Stage) -> None:
    await stage.pool.execute(
        """
        INSERT INTO revocations (company_id, user_id, token_id, revoked_at)
        SELECT $1, user_id, token_id, now() - ago
          FROM (VALUES (7, '', interval '1 day'), (7, 'before', interval '26 hours'),
                       (7, 'about then', interval '24 hours 59 minutes'),
                       (7, 'after', interval '1 hour'), (8, 'of another', interval '26 hours'))
               AS said (user_id, token_id, ago)
        """,
        COMPANY,
    )

    await Pruner(stage.pool).prune()

    left = await stage.pool.fetch("SELECT token_id FROM revocations ORDER BY token_id")
    assert [row["token_id"] for row in left] == ["", "about then", "after", "of another"]


async def test_who_is_named_is_read_at_once_and_all_others_when_something_may_have_been_missed(
    stage: Stage,
) -> None:
    insert = "INSERT INTO revocations VALUES ($1, $2, '', now(), NULL)"
    named, other = stage.client("7"), stage.client("8")
    async with stage.instance() as one:
        sessions = one.live.sessions
        began = sessions._load_at

        async def has_begun_to_listen() -> bool:
            return sessions._load_at > began and not sessions._loading.locked()

        await until(has_begun_to_listen)
        await stage.pool.execute(insert, COMPANY, 8)
        async with stage.pool.acquire() as conn:
            await conn.execute(insert, COMPANY, 7)
            await access_store.tell(conn, [User(COMPANY, 7)])
        await refused_promptly(named, one.url)
        meanwhile = await status(other, one.url)
        sessions.missed()
        await refused_promptly(other, one.url)

    assert meanwhile == 200


async def test_all_who_are_refused_are_known_however_many_they_are(stage: Stage) -> None:
    many = 2 * access_store.AT_ONCE + 1
    await stage.pool.execute(
        """
        INSERT INTO revocations (company_id, user_id, token_id, revoked_at)
        SELECT $1, n / 7, 'token ' || n, now() FROM generate_series(1, $2::int) AS n
        """,
        COMPANY,
        many,
    )
    async with stage.instance() as one:
        why = one.live.sessions.why
        found = [
            why(Session(Identity(COMPANY, n // 7, False), f"token {n}", 0.0, 0.0))
            for n in range(1, many + 1)
        ]

    assert set(found) == {access.ONE_REVOKED}


async def test_a_request_for_a_page_is_authenticated_once(stage: Stage) -> None:
    client = stage.client()
    asked: list[Session] = []
    async with stage.instance() as one:
        authenticator = Authenticator(SecretStr(SECRET), None, asked.append)
        app = api.application(one.live.api._parts, {}, authenticator, one.live)
        async with TestServer(app) as server:
            found = await status(client, str(server.make_url("")).rstrip("/"))

    assert (found, len(asked)) == (200, 1)


async def test_a_token_is_written_down_when_it_is_seen(stage: Stage) -> None:
    client = stage.client(iat=int(time.time()))
    async with stage.instance() as one:
        for _ in range(20):
            await status(client, one.url)

        async def is_written() -> bool:
            return bool(await stage.pool.fetchval("SELECT count(*) FROM sessions"))

        await until(is_written)
        rows = await stage.pool.fetch("SELECT * FROM sessions")
        _, listed = await ask(client, one.url, "/api/sessions")

    assert len(rows) == 1
    assert rows[0]["first_seen_at"] == rows[0]["last_seen_at"]
    assert [each["isCurrent"] for each in listed["data"]["sessions"]] == [True]


async def test_a_session_that_is_just_being_written_down_is_listed(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance() as one:
        async with stage.pool.acquire() as conn, conn.transaction():
            await conn.execute("LOCK TABLE sessions IN SHARE MODE")
            await status(client, one.url)

            async def is_being_written() -> bool:
                return bool(await stage.pool.fetchval(WAITS))

            await until(is_being_written)
            asking = asyncio.create_task(ask(client, one.url, "/api/sessions"))
            early, _ = await asyncio.wait({asking}, timeout=0.5)
        _, listed = await asking

    assert [each["isCurrent"] for each in listed["data"]["sessions"]] == [True]
    assert not early


async def test_a_browser_that_names_itself_in_bytes_that_are_no_text_is_written_down(
    stage: Stage,
) -> None:
    client = stage.client()
    async with stage.instance() as one:
        address = urlsplit(one.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        lines = ("GET /api/me HTTP/1.1", "Host: x", "Connection: close", "User-Agent: M\xfcller/1")
        token = f"Authorization: {client.headers['Authorization']}"
        writer.write("\r\n".join((*lines, token, "", "")).encode("latin-1"))
        answered = await reader.read()
        writer.close()

        async def is_written() -> bool:
            return bool(await stage.pool.fetchval("SELECT count(*) FROM sessions"))

        await until(is_written)
        agents = await stage.pool.fetch("SELECT user_agent FROM sessions")

    assert answered.startswith(b"HTTP/1.1 200")
    assert [row[0] for row in agents] == ["M?ller/1"]


async def test_where_users_are_signed_in_is_read_within_their_rate(stage: Stage) -> None:
    client = stage.client()
    async with stage.instance(Limits(Rate(0.001, burst=2))) as one:
        found = [await status(client, one.url, "/api/sessions") for _ in range(3)]

    assert found == [200, 200, 429]


async def test_who_a_user_is_is_read_within_their_rate_and_told_from_redis_beyond_it(
    stage: Stage,
) -> None:
    client = stage.client()
    async with stage.instance(Limits(Rate(0.001, burst=1))) as one:
        kept = [await status(client, one.url, "/api/me") for _ in range(3)]
        with Redis.from_url(stage.redis_url) as redis:
            redis.delete(stage.keys.user(User(COMPANY, 7)))
        missed = await status(client, one.url, "/api/me")

    assert (kept, missed) == ([200, 200, 200], 429)


async def test_the_users_record_is_kept_in_redis_and_replaced_at_once(stage: Stage) -> None:
    await stage.told(user(7, name="Ada"))
    client = stage.client()
    key = stage.keys.user(User(COMPANY, 7))
    async with stage.instance() as one:
        _, first = await ask(client, one.url, "/api/me")
        with Redis.from_url(stage.redis_url) as redis:
            seconds = redis.ttl(key)
            redis.hset(key, "r", redis.hget(key, "r").replace(b"Ada", b"Eve"))
            _, kept = await ask(client, one.url, "/api/me")
        await stage.told(user(7, 2, name="Ada Lovelace"))

        async def is_replaced() -> bool:
            _, shown = await ask(client, one.url, "/api/me")
            return shown["data"]["name"] == "Ada Lovelace"

        await until(is_replaced, PROMPTLY_S)
        _, unknown = await ask(stage.client("99"), one.url, "/api/me")

    assert (first["data"]["name"], first["data"]["email"]) == ("Ada", "u7@example.com")
    assert 590 <= seconds <= 600
    assert kept["data"]["name"] == "Eve"
    assert unknown["data"]["name"] is None


async def test_a_users_record_that_changed_while_nobody_listened_is_replaced(
    stage: Stage,
) -> None:
    await stage.told(user(7, name="Ada"))
    client = stage.client()
    async with stage.instance() as one:
        await ask(client, one.url, "/api/me")
    await stage.told(user(7, 2, name="Ada Lovelace"))

    async with stage.instance() as two:

        async def is_replaced() -> bool:
            _, shown = await ask(client, two.url, "/api/me")
            return shown["data"]["name"] == "Ada Lovelace"

        await until(is_replaced)


async def test_users_arrive_in_any_order(stage: Stage) -> None:
    told = [user(7, 1, name="A"), user(7, 2, active=False), user(7, 3, name="C")]
    for each in [told[2], told[0], told[1], told[0]]:
        await stage.told(each)

    row = await stage.pool.fetchrow("SELECT name, email, active FROM users")

    assert tuple(row) == ("C", "u7@example.com", True)


async def test_a_revocation_is_in_force_though_kafka_is_away(
    database_url: str, redis_url: str
) -> None:
    nowhere = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    async with staged(database_url, redis_url, nowhere) as stage, stage.instance() as one:
        client = stage.client(jti="a")
        code, answer = await ask(client, one.url, "/api/sessions/revoke", method="POST", jti="a")

        assert (code, answer["code"]) == (503, "unavailable")
        await refused_promptly(client, one.url)

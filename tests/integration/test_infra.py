"""The servers that tests get."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from redis import Redis

from devstack import postgres
from devstack.errors import StackError
from devstack.kafka import broker
from devstack.stack import Urls
from tests.support.databases import Databases
from tests.support.infra import Infra, docker_answers, given, kafka_environment

pytestmark = pytest.mark.integration

STORE = "SELECT store_id FROM query.store"
KNOWN = "SELECT count(*) FROM pg_stats WHERE schemaname = 'query'"

NAMES = (
    "MY500_TEST_KAFKA_BOOTSTRAP_SERVERS",
    "MY500_TEST_DATABASE_URL",
    "MY500_TEST_REDIS_URL",
)


def test_given_urls_are_taken_when_all_of_them_are_given() -> None:
    assert given(dict(zip(NAMES, "abc", strict=True))) == Urls("a", "b", "c")
    assert given({}) is None


def test_some_given_urls_without_the_others_are_refused() -> None:
    with pytest.raises(StackError, match="set all of"):
        given({NAMES[1]: "b"})


def test_a_database_is_new_and_empty(empty_database_url: str, infra: Infra) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'"

    assert empty_database_url != infra.database
    assert postgres.ask(empty_database_url, tables) == "0"


def test_a_database_that_another_test_wrote_to_is_as_if_it_were_new(databases: Databases) -> None:
    read = "SELECT last_value FROM query.outbox_place"
    with databases.one() as url:
        store = postgres.ask(url, STORE)
        as_new = postgres.ask(url, read)
        postgres.ask(url, "CREATE SCHEMA other; CREATE TABLE other.t (n int)")
        postgres.ask(url, "INSERT INTO query.outbox VALUES ('t', 'k', DEFAULT, 'p')")
        postgres.ask(url, "ANALYZE query.outbox")

    with databases.one() as again:
        assert again == url
        assert postgres.ask(url, "SELECT count(*) FROM query.outbox") == "0"
        assert postgres.ask(url, read) == as_new
        assert postgres.ask(url, KNOWN) == "0"
        assert postgres.ask(url, "SELECT to_regnamespace('other') IS NULL") == "t"
        assert postgres.ask(url, STORE) != store


@pytest.mark.parametrize(
    "done",
    [
        "DROP INDEX orgs.outbox_by_place",
        "ALTER TABLE orgs.outbox ALTER payload DROP NOT NULL",
        "ALTER TABLE orgs.outbox RESET (autovacuum_vacuum_threshold)",
        "CREATE TABLE orgs.more (n int)",
        "ALTER SCHEMA scoring RENAME TO scoring_old",
        "INSERT INTO orgs.schema_migrations VALUES ('0999_later.sql', '')",
        "CREATE FUNCTION orgs.more() RETURNS int LANGUAGE sql RETURN 1",
    ],
    ids=lambda done: " ".join(done.split()[:2]),
)
def test_a_database_in_which_more_was_changed_is_nobody_elses(
    databases: Databases, done: str
) -> None:
    with databases.one() as url:
        postgres.ask(url, done)

    with databases.one() as other:
        assert other != url


def test_a_redis_database_is_empty(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("name", ["postgres", "valkey", "kafka"])
async def test_a_killed_server_comes_back_at_the_same_address(
    killable: Infra, name: str, database_url: str
) -> None:
    before = killable.urls

    await asyncio.to_thread(killable.kill, name)
    await asyncio.to_thread(killable.start, name)

    assert killable.urls == before
    assert postgres.ask(database_url, "SELECT 1") == "1"


def test_a_broker_in_a_container_has_the_settings_of_ours() -> None:
    there = kafka_environment(9092)

    assert there["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert there["KAFKA_MESSAGE_MAX_BYTES"] == broker.SETTINGS["message.max.bytes"]


def test_a_docker_engine_that_is_not_there_does_not_answer(tmp_path: Path) -> None:
    assert not docker_answers(f"unix://{tmp_path}/docker.sock")
    assert not docker_answers("tcp://127.0.0.1:1")


def test_a_docker_engine_that_is_there_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(path)
        engine.listen()
        answering = threading.Thread(target=_pong_once, args=(engine,))
        answering.start()

        assert docker_answers(f"unix://{path}")

        answering.join()


def _pong_once(engine: socket.socket) -> None:
    connection, _ = engine.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

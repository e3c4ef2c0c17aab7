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
from tests.support.infra import Infra, docker_answers, given, kafka_environment

pytestmark = pytest.mark.integration

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


def test_a_database_is_new_and_empty(database_url: str, infra: Infra) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

    assert database_url != infra.database
    assert postgres.ask(database_url, tables) == "0"


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

"""The servers without Docker, and the run that everything else is tried with."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis import Redis

from devstack import environment, postgres, processes, token, valkey
from devstack.errors import StackError
from devstack.stack import ANY_PORTS, NAMES, Stack
from tests.support.infra import LOCAL, ROOT

pytestmark = pytest.mark.integration

BACK_S = 20.0  # 5 s on a quiet machine; tests share theirs
DEADLINE_S = 60.0


@dataclass
class Up:
    stack: Stack
    said: list[str]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    said: list[str] = []
    root = tmp_path_factory.mktemp("a stack") / "here"
    stack = Stack(root, home=LOCAL / "kafka", wanted_ports=ANY_PORTS, say=said.append)
    stack.start()
    yield Up(stack, said)
    stack.stop()
    assert [stack.process(name) for name in NAMES] == [None, None, None]


def test_a_second_start_starts_nothing(up: Up) -> None:
    before = [up.stack.process(name) for name in NAMES]
    up.said.clear()

    urls = up.stack.start()

    assert [up.stack.process(name) for name in NAMES] == before
    assert urls == up.stack.urls
    assert up.said == []


def test_a_stack_of_another_process_is_found_by_its_pid_files(up: Up) -> None:
    other = Stack(up.stack._root, home=LOCAL / "kafka", wanted_ports=ANY_PORTS)

    assert [other.process(name) for name in NAMES] == [up.stack.process(name) for name in NAMES]
    assert other.urls == up.stack.urls


def test_valkey_is_not_ready_when_another_has_its_port(up: Up) -> None:
    port = urlsplit(up.stack.urls.redis).port or 0
    state = up.stack._place("valkey").state
    strange = state / "strange.pid"
    strange.write_text(f"{os.getpid()}\n")

    assert valkey.answers(port, state / valkey.PID_FILE)
    assert valkey.pongs(port)
    assert not valkey.answers(port, strange)
    assert not valkey.answers(port, state / "none.pid")


def test_postgres_comes_back_from_a_kill_with_what_was_committed(up: Up) -> None:
    url = up.stack.urls.database
    postgres.ask(url, "CREATE TABLE kept AS SELECT 41 + 1 AS answer")

    begun = time.monotonic()
    up.stack.kill("postgres")
    up.stack.start_one("postgres")

    assert postgres.ask(url, "SELECT answer FROM kept") == "42"
    assert postgres.ask(url, "SHOW fsync") == "on"
    assert time.monotonic() - begun < BACK_S


def test_postgres_comes_back_though_a_session_of_the_killed_one_still_works(up: Up) -> None:
    url = up.stack.urls.database
    busy = subprocess.Popen(
        [postgres._binary("psql"), "-Xc", "SELECT pg_sleep(600)", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: postgres.ask(url, asleep) == "1")

    up.stack.kill("postgres")
    up.stack.start_one("postgres")

    assert postgres.ask(url, asleep) == "0"
    busy.wait(DEADLINE_S)


def test_postgres_wants_its_password(up: Up) -> None:
    secret = postgres._password(up.stack._place("postgres"))

    with pytest.raises(StackError, match="password authentication failed"):
        postgres.ask(up.stack.urls.database.replace(secret, "guessed"), "SELECT 1")


def test_postgres_sorts_and_classifies_letters_of_every_alphabet(up: Up) -> None:
    url = up.stack.urls.database
    postgres.ask(url, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
    postgres.ask(url, "CREATE EXTENSION IF NOT EXISTS unaccent")

    assert postgres.ask(url, "SELECT lower('ÄЖΩ') || unaccent('é')") == "äжωe"
    assert postgres.ask(url, "SELECT similarity('Ивановский', 'ивановская') > 0.5") == "t"


def test_valkey_comes_back_empty(up: Up) -> None:
    with Redis.from_url(up.stack.urls.redis) as client:
        client.set("page", "old")

    up.stack.kill("valkey")
    up.stack.start_one("valkey")

    with Redis.from_url(up.stack.urls.redis) as client:
        assert client.get("page") is None


async def test_kafka_comes_back_from_a_kill_with_what_was_acknowledged(up: Up) -> None:
    bootstrap = up.stack.urls.kafka
    async with contextlib.AsyncExitStack() as held:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        held.push_async_callback(admin.close)
        await admin.create_topics([NewTopic("kept", 12, 1)])
    large = b"x" * 3_000_000
    await produce(bootstrap, large)

    begun = time.monotonic()
    up.stack.kill("kafka")
    up.stack.start_one("kafka")

    await produce(bootstrap, b"after")
    assert time.monotonic() - begun < BACK_S
    assert await consume(bootstrap, 2) == [large, b"after"]


def test_a_server_whose_port_was_taken_meanwhile_moves_and_remembers(up: Up) -> None:
    up.stack.kill("valkey")
    taken = int(up.stack.urls.redis.rsplit(":", 1)[1].split("/")[0])
    with socket.create_server(("127.0.0.1", taken)):
        up.stack.start_one("valkey")
        moved = up.stack.urls.redis

    with Redis.from_url(moved) as client:
        assert client.ping()
    assert str(taken) not in moved


def test_a_pid_that_is_somebody_elses_now_is_left_alone(tmp_path: Path) -> None:
    pid_file = tmp_path / "run" / "server.pid"
    processes.remember(psutil.Process(), pid_file)
    assert processes.find(pid_file) is not None

    pid_file.write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')

    assert processes.find(pid_file) is None


def test_secrets_are_made_once_and_addresses_each_time(tmp_path: Path, up: Up) -> None:
    first = environment.write(tmp_path, up.stack.urls)
    tenants = environment.tenants_file(tmp_path).read_bytes()

    assert environment.write(tmp_path, up.stack.urls) == first
    assert environment.read(tmp_path) == first
    assert environment.tenants_file(tmp_path).read_bytes() == tenants
    assert environment.demo_tenant(tmp_path).company_id == environment.DEMO_COMPANY
    assert environment.env_file(tmp_path).stat().st_mode & 0o077 == 0


def test_a_shell_can_source_the_settings(tmp_path: Path, up: Up) -> None:
    local = tmp_path / "it's a folder"
    values = environment.write(local, up.stack.urls)

    told = subprocess.run(
        ["bash", "-c", '. "$1" && printf %s "$TENANTS_FILE"', "-", environment.env_file(local)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == values["TENANTS_FILE"] == str(environment.tenants_file(local))


def test_a_token_says_who_and_until_when() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    secret = "a secret of thirty-two bytes or more"

    issued = token.issue(
        secret, company=7, user="11", now=now, lasts=timedelta(hours=1), role="admin"
    )

    assert jwt.decode(issued, secret, algorithms=["HS256"]) == {
        "sub": "11",
        "company_id": 7,
        "role": "admin",
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + 3600,
    }


STAND_INS = {
    # Answers /readyz, ends on SIGTERM.
    "steady": """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): ...
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
""",
    "broken": "import sys; print('no such table: teapots'); sys.exit(3)",
    "job": "print('the job is done', flush=True)",
    "failing_job": "import sys; sys.exit(4)",
}
RUNNER = """
import sys
from pathlib import Path
from devstack import supervisor
from devstack.errors import Cancelled, StackError
from devstack.stack import ANY_PORTS, Stack
local, home, *names = sys.argv[1:]
jobs = [name for name in names if name.endswith("job")]
names = [name for name in names if name not in jobs]
def say(line): print(line, flush=True)
with supervisor.stop_on_signal() as stopping:
    stack = Stack(
        Path(local, "stack"), home=Path(home), wanted_ports=ANY_PORTS, say=say,
        cancelled=stopping.is_set,
    )
    programs = [
        supervisor.Program(f"{name}{n}", name, 31990 + n) for n, name in enumerate(names)
    ]
    try:
        with supervisor.started(Path(local), stack, say=say, stopping=stopping) as (run, values):
            run.serve(programs, values)
            say("all ready")
            for job in jobs:
                run.perform(job, ["-m", job], values)
                say(f"after {job}")
            run.watch()
    except Cancelled:
        pass
    except StackError as problem:
        sys.exit(str(problem))
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    for name, source in STAND_INS.items():
        (tmp_path / f"{name}.py").write_text(source)
    begun: list[subprocess.Popen[str]] = []

    def start(*names: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(tmp_path / "local"), str(LOCAL / "kafka"), *names],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()
    kept = Stack(tmp_path / "local" / "stack", home=LOCAL / "kafka", wanted_ports=ANY_PORTS)
    kept.stop()


def test_a_stopped_run_leaves_no_process(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run("steady", "steady")
    read_until(running, "all ready")
    children = found(tmp_path / "local")
    assert len(children) == len(NAMES) + 2

    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 0, rest
    assert [child for child in children if processes.is_alive(child)] == []
    assert "Traceback" not in rest
    assert rest.index("steady0: stopped") < rest.index("postgres: stopped")


def test_a_run_that_is_stopped_while_it_starts_leaves_no_process(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run("steady")
    read_until(running, "valkey: ready")

    running.send_signal(signal.SIGTERM)
    rest, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 0, rest
    assert found(tmp_path / "local") == []
    assert "Traceback" not in rest


def test_a_child_that_dies_ends_the_run_and_shows_its_log(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run("steady", "broken")

    told, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 1
    assert "broken1 ended with 3" in told
    assert "| no such table: teapots" in told
    assert "Traceback" not in told
    assert found(tmp_path / "local") == []


def test_a_job_is_waited_for_and_one_that_fails_ends_the_run(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run("steady", "job", "failing_job")

    told, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 1
    assert told.index("the job is done") < told.index("after job")
    assert "failing_job ended with 4" in told
    assert "after failing_job" not in told
    assert found(tmp_path / "local") == []


def test_two_runs_at_once_are_refused(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run("steady")
    read_until(running, "all ready")

    told, _ = run("steady").communicate(timeout=DEADLINE_S)

    assert "already running in this checkout" in told
    assert len(found(tmp_path / "local")) == len(NAMES) + 1


def test_what_a_killed_run_left_is_ended_by_the_next(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = run("steady")
    read_until(first, "all ready")
    first.kill()
    first.wait()

    second = run("steady")
    read_until(second, "all ready")
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=DEADLINE_S)

    assert second.returncode == 0
    assert found(tmp_path / "local") == []


def found(local: Path) -> list[psutil.Process]:
    known = [processes.find(file) for file in local.rglob("run/*.pid")]
    return [process for process in known if process is not None]


def read_until(running: subprocess.Popen[str], sentence: str) -> None:
    """The deadline is the test's own."""
    assert running.stdout is not None
    told = []
    for line in running.stdout:
        told.append(line)
        if sentence in line:
            return
    pytest.fail(f"ended before {sentence!r}:\n{''.join(told)}")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(processes.POLL_S)


async def produce(bootstrap: str, value: bytes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=4_000_000
    ) as producer:
        await producer.send_and_wait("kept", value, partition=0)


async def consume(bootstrap: str, count: int) -> list[bytes | None]:
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, max_partition_fetch_bytes=4_000_000
    ) as consumer:
        partition = TopicPartition("kept", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value for _ in range(count)]

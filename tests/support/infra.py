"""Real servers for tests: given URLs, else containers if a Docker engine answers, else our own.

Rule 1: a server that cannot be had is a failure, never a skip.
Rule 2: servers that this module started are new and empty, and end with the session.
"""

import asyncio
import itertools
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from devstack import ports, postgres, processes, valkey
from devstack.errors import StackError
from devstack.kafka import broker
from devstack.stack import ANY_PORTS, Stack, Urls

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / ".local"
GIVEN = Urls(
    kafka="MY500_TEST_KAFKA_BOOTSTRAP_SERVERS",
    database="MY500_TEST_DATABASE_URL",
    redis="MY500_TEST_REDIS_URL",
)
SLOTS = range(1, 9)
DOCKER_SOCKET = "unix:///var/run/docker.sock"
DOCKER_PING_S = 2.0
CONTAINER_READY_S = 120
KAFKA_IMAGE = "apache/kafka:4.3.0"
POSTGRES_IMAGE = "postgres:18"
VALKEY_IMAGE = "valkey/valkey:9"

UNFLUSHED = ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
"""Tests kill servers, not machines, so what the kernel took is safe. Dropping a test's database
flushes all that is dirty, which took longer than most tests.
"""

_redis_turns = itertools.count()


@dataclass(frozen=True, slots=True)
class Infra:
    """Servers are named `postgres`, `valkey`, `kafka`. The calls block: in a coroutine, use
    `asyncio.to_thread`."""

    urls: Urls
    kill: Callable[[str], None]
    """SIGKILL one server."""
    start: Callable[[str], None]
    """Bring it back on its port and its data; returns when it is ready."""
    freeze: Callable[[str], None]
    """Stop it in the middle of whatever it does: it answers nobody and closes nothing."""
    thaw: Callable[[str], None]
    can_kill: bool = True

    @property
    def kafka(self) -> str:
        return self.urls.kafka

    @property
    def database(self) -> str:
        return self.urls.database

    @property
    def redis(self) -> str:
        return self.urls.redis

    @asynccontextmanager
    async def frozen(self, name: str) -> AsyncIterator[None]:
        """The server answers nobody until the block ends, or thaws it before."""
        await asyncio.to_thread(self.freeze, name)
        try:
            yield
        finally:
            await asyncio.to_thread(self.thaw, name)


@contextmanager
def servers(environment: Mapping[str, str] = os.environ) -> Iterator[Infra]:
    known = given(environment)
    if known is not None:
        yield Infra(known, _not_ours, _not_ours, _not_ours, _not_ours, can_kill=False)
        return
    with own_servers() as infra:
        yield infra


@contextmanager
def own_servers() -> Iterator[Infra]:
    with containers() if docker_answers() else local() as infra:
        for statement in UNFLUSHED:
            postgres.ask(infra.database, statement)
        yield infra


def given(environment: Mapping[str, str]) -> Urls | None:
    names = (GIVEN.kafka, GIVEN.database, GIVEN.redis)
    there = [name for name in names if environment.get(name)]
    if not there:
        return None
    if len(there) < len(names):
        raise StackError(f"set all of {', '.join(names)}, or none; only {there} is set")
    return Urls(*(environment[name] for name in names))


def on_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@contextmanager
def local() -> Iterator[Infra]:
    """Each session takes a stack of its own, so that two sessions never meet."""
    with ExitStack() as held:
        root = _slot(held)
        stack = Stack(root, home=LOCAL / "kafka", wanted_ports=ANY_PORTS, say=_say)
        stack.stop()
        for kept in ("postgres", "valkey", "kafka", "log"):
            shutil.rmtree(root / kept, ignore_errors=True)
        held.callback(stack.stop)
        yield Infra(
            stack.start(),
            stack.kill,
            stack.start_one,
            lambda name: _signal(stack.process(name), signal.SIGSTOP),
            lambda name: _signal(stack.process(name), signal.SIGCONT),
        )


def _signal(process: psutil.Process | None, number: signal.Signals) -> None:
    """To a server and all its children: Postgres serves each connection from one of them."""
    if process is None:
        raise StackError("the server does not run")
    for each in (process, *process.children(recursive=True)):
        try:
            each.send_signal(number)
        except psutil.NoSuchProcess:
            pass  # it ended by itself


def _slot(held: ExitStack) -> Path:
    for number in SLOTS:
        root = LOCAL / "test-stack" / str(number)
        try:
            held.enter_context(processes.locked(root / "session.lock", refusal="taken"))
        except StackError:
            continue
        return root
    raise StackError(f"{len(SLOTS)} test sessions run in this checkout: wait for one to end")


@contextmanager
def new_database(infra: Infra) -> Iterator[str]:
    """Copied as files: block by block through the log takes twice as much of the processor."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.ask(infra.urls.database, f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    try:
        yield on_database(infra.urls.database, name)
    finally:
        postgres.ask(infra.urls.database, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def new_topics(infra: Infra) -> AsyncIterator[str]:
    """A KAFKA_TOPIC_PREFIX that is nobody else's. Its topics go in the end: a broker that was
    killed looks through every partition that it holds before it is back.
    """
    prefix = f"t{secrets.token_hex(5)}."
    try:
        yield prefix
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka)
        try:
            await admin.start()
            made = [name for name in await admin.list_topics() if name.startswith(prefix)]
            if made:
                await admin.delete_topics(made)
        finally:
            await admin.close()


def empty_redis(infra: Infra) -> str:
    """A logical database of the server, another one at each call until all had their turn."""
    with Redis.from_url(infra.urls.redis) as client:
        databases = int(client.config_get("databases")["databases"])
    number = 1 + next(_redis_turns) % (databases - 1)
    url = on_database(infra.urls.redis, str(number))
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


def docker_answers(host: str | None = None) -> bool:
    """Asked on its socket: the Docker client leaves a connection open when nobody answers."""
    address = urlsplit(host or os.environ.get("DOCKER_HOST") or DOCKER_SOCKET)
    try:
        with _connected(address) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _connected(address: SplitResult) -> socket.socket:
    if address.scheme != "unix":
        return socket.create_connection(
            (address.hostname or ports.HOST, address.port or 2375), timeout=DOCKER_PING_S
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(DOCKER_PING_S)
    try:
        connection.connect(address.path)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def containers() -> Iterator[Infra]:
    from testcontainers.core.container import DockerContainer

    password = "testing"
    port = {name: ports.free() for name in ("postgres", "valkey", "kafka")}
    options = [word for pair in postgres.OPTIONS.items() for word in ("-c", "=".join(pair))]
    made = {
        "postgres": DockerContainer(POSTGRES_IMAGE)
        .with_bind_ports(5432, port["postgres"])
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_DB", postgres.DATABASE)
        .with_env("POSTGRES_INITDB_ARGS", " ".join(postgres.LOCALE))
        .with_command(["postgres", *options]),
        "valkey": DockerContainer(VALKEY_IMAGE)
        .with_bind_ports(6379, port["valkey"])
        .with_command(
            ["valkey-server", "--save", "", "--databases", str(valkey.DATABASES)],
        ),
        "kafka": DockerContainer(KAFKA_IMAGE).with_bind_ports(port["kafka"], port["kafka"]),
    }
    for name, value in kafka_environment(port["kafka"]).items():
        made["kafka"].with_env(name, value)
    urls = Urls(
        kafka=f"{ports.HOST}:{port['kafka']}",
        database=f"postgresql://postgres:{password}@{ports.HOST}:{port['postgres']}/"
        f"{postgres.DATABASE}",
        redis=valkey.url(port["valkey"]),
    )
    ready: dict[str, Callable[[], bool]] = {
        "postgres": lambda: _answers(urls.database),
        "valkey": lambda: valkey.pongs(port["valkey"]),
        "kafka": lambda: broker.lists_a_broker(port["kafka"]),
    }

    def start(name: str) -> None:
        made[name].get_wrapped_container().start()
        _wait(name, ready[name])

    with ExitStack() as held:
        for container in made.values():
            held.enter_context(container)
        for name, is_ready in ready.items():
            _wait(name, is_ready)
        yield Infra(
            urls,
            lambda name: made[name].get_wrapped_container().kill(),
            start,
            lambda name: made[name].get_wrapped_container().pause(),
            lambda name: made[name].get_wrapped_container().unpause(),
        )


def kafka_environment(port: int) -> dict[str, str]:
    """The settings of our own broker in the spelling of the official image."""
    settings = broker.SETTINGS | {
        "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{port}",
        "controller.quorum.voters": "1@localhost:9093",
    }
    return {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in settings.items()}


def _answers(url: str) -> bool:
    try:
        return postgres.ask(url, "SELECT 1") == "1"
    except StackError:
        return False


def _wait(name: str, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + CONTAINER_READY_S
    while not is_ready():
        if time.monotonic() > deadline:
            raise StackError(f"the container of {name} is not ready")
        time.sleep(processes.POLL_S)


def _not_ours(name: str) -> None:
    raise StackError(f"{name} was given by its URL: it is not ours to kill or start")


def _say(message: str) -> None:
    """Shown by pytest beside the failure, if there is one."""
    print(message, flush=True)  # noqa: T201

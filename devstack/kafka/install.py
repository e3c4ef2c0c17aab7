"""Creates what a checkout's brokers share: the jars, a formatted log directory, the class archive.
Once, and again when the pom changes; concurrent calls wait for one another.
"""

import base64
import hashlib
import secrets
import shutil
import signal
import time
from collections.abc import Callable

from devstack import ports, processes
from devstack.errors import Cancelled, StackError
from devstack.kafka import broker
from devstack.kafka.home import POM, Home
from devstack.processes import never

FIRST_START_S = 60.0
ARCHIVING_S = 60.0
APT = "on Debian: apt-get install openjdk-17-jre-headless maven"


def ensure(
    home: Home, *, say: Callable[[str], None], cancelled: Callable[[], bool] = never
) -> None:
    if shutil.which("java") is None:
        raise StackError(f"Kafka needs Java 17 or later, and there is no `java` ({APT})")
    with processes.locked(home.root / "lock"):
        if home.stamp.exists() and home.stamp.read_text() == _version():
            return
        begun = time.monotonic()
        say("kafka: fetching its jars with Maven, 44 MB, once")
        _fetch(home, cancelled)
        say("kafka: formatting, and a first start that archives its classes, once")
        _start_once(home, cancelled)
        home.stamp.write_text(_version())
        say(f"kafka: installed in {time.monotonic() - begun:.1f} s")


def _version() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def _fetch(home: Home, cancelled: Callable[[], bool]) -> None:
    if shutil.which("mvn") is None:
        raise StackError(f"Kafka's jars are fetched by Maven, and there is no `mvn` ({APT})")
    unfinished = home.root / "lib.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    processes.run(
        [
            "mvn",
            "--batch-mode",
            "--no-transfer-progress",
            f"--file={POM}",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={unfinished}",
        ],
        log=home.root / "maven.log",
        cancelled=cancelled,
    )
    shutil.rmtree(home.lib, ignore_errors=True)
    unfinished.rename(home.lib)


def _start_once(home: Home, cancelled: Callable[[], bool]) -> None:
    home.archive.unlink(missing_ok=True)
    scratch = home.root / "first-start"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(home.formatted, ignore_errors=True)
    scratch.mkdir()
    log = home.root / "first-start.log"
    port = ports.free()
    controller_port = ports.free()
    settings = scratch / "server.properties"
    settings.write_text(
        broker.properties(scratch / "data", port=port, controller_port=controller_port)
    )
    tool = (*home.java(heap="256m", log=log), "kafka.tools.StorageTool", "format")
    processes.run(
        [*tool, f"--cluster-id={_cluster_id()}", f"--config={settings}"],
        log=log,
        cancelled=cancelled,
    )
    shutil.copytree(scratch / "data", home.formatted)
    command = (*home.java(heap=broker.HEAP, log=log, archiving=True), "kafka.Kafka", str(settings))
    process = processes.spawn(command, log=log)
    deadline = time.monotonic() + FIRST_START_S
    try:
        while not broker.lists_a_broker(port):
            if cancelled():
                raise Cancelled("kafka's first start was stopped")
            if not processes.is_alive(process) or time.monotonic() > deadline:
                raise StackError(f"kafka did not start\n{processes.tail(log)}")
            time.sleep(processes.POLL_S)
    finally:
        processes.end(process, how=signal.SIGTERM, grace_s=ARCHIVING_S)
    shutil.rmtree(scratch)


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")

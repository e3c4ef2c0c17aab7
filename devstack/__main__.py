"""`python -m devstack`: servers up and down, the whole system in the foreground, tokens."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devstack import environment, ports, supervisor, token
from devstack.errors import Cancelled, StackError
from devstack.pipedrive.world import FIRST_USER_ID
from devstack.processes import never
from devstack.stack import NAMES, Stack

LONGEST_TOKEN_H = 24 * 366
LOCAL = Path(".local")


def say(message: str) -> None:
    try:
        print(message, flush=True)
    except BrokenPipeError:
        pass  # nobody reads the output any more; starting or stopping must go on


def the_stack(*, cancelled: Callable[[], bool] = never) -> Stack:
    return Stack(LOCAL / "stack", home=LOCAL / "kafka", say=say, cancelled=cancelled)


def up(_: argparse.Namespace) -> int:
    with supervisor.stop_on_signal() as stopping:
        environment.write(LOCAL, the_stack(cancelled=stopping.is_set).start())
    say(f"up; settings in {environment.env_file(LOCAL)}")
    return 0


def down(_: argparse.Namespace) -> int:
    if supervisor.end_other_run(LOCAL):
        say("run: stopped")
    supervisor.end_leftovers(LOCAL, say=say)
    the_stack().stop()
    say("down; state is kept")
    return 0


def status(_: argparse.Namespace) -> int:
    """0 if all servers run, else 1."""
    stack = the_stack()
    found = {name: stack.process(name) for name in NAMES}
    for name, process in found.items():
        say(f"{name}: {f'runs, pid {process.pid}' if process else 'not running'}")
    return 0 if all(found.values()) else 1


def issue(given: argparse.Namespace) -> int:
    say(_token(given.company, given.user, hours=given.hours, role=given.role))
    return 0


def make_secrets(_: argparse.Namespace) -> int:
    environment.write_secrets(LOCAL)
    say(f"secrets in {environment.env_file(LOCAL)} and {environment.tenants_file(LOCAL)}")
    return 0


def double(given: argparse.Namespace) -> int:
    """Replaces this process by the double, so that signals reach it."""
    environment.point_demo(LOCAL, given.rest_url)
    arguments = _double(environment.demo_tenant(LOCAL), given.rest_url)
    if given.rest_host:
        arguments += ["--rest-host", given.rest_host]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell is wanted


def run(_: argparse.Namespace) -> int:
    with supervisor.stop_on_signal() as stopping:
        stack = the_stack(cancelled=stopping.is_set)
        with supervisor.started(LOCAL, stack, say=say, stopping=stopping) as (running, values):
            rest_url = _rest_url()
            environment.point_demo(LOCAL, rest_url)
            tenant = environment.demo_tenant(LOCAL)
            running.attach("pipedrive", _double(tenant, rest_url), values)
            running.serve(supervisor.SERVICES, values)
            running.wait_for("pipedrive", f"{rest_url}/_double")
            _greet(running.urls, tenant)
            say("  Connecting the demo company: registers its webhook, then reads all its data.\n")
            running.perform("connect", _connect(tenant, running.urls["ingest"]), values)
            say("\n  From now on its changes arrive by webhook. Ctrl-C stops everything.\n")
            running.watch()
    say("stopped; state is kept")
    return 0


def _rest_url() -> str:
    """Where the double answers Pipedrive's REST API."""
    wanted = environment.DOUBLE_PORT
    port = wanted if ports.is_free(wanted) else ports.free()
    return f"http://{ports.HOST}:{port}"


def _connect(tenant: environment.Tenant, ingest: str) -> list[str]:
    """Can be repeated: an existing connection stays, and is synced again."""
    return [
        *("-m", "services.ingest", "connect"),
        *("--company", str(tenant.company_id)),
        *("--url", ingest),
    ]


def _double(tenant: environment.Tenant, rest_url: str) -> list[str]:
    return [
        *("-m", "devstack.pipedrive"),
        *("--company", str(tenant.company_id)),
        *("--state", str(LOCAL / "pipedrive")),
        *("--rest-port", rest_url.rpartition(":")[2]),
        *("--api-token", tenant.api_token),
    ]


def _greet(urls: dict[str, str], tenant: environment.Tenant) -> None:
    bearer = _token(tenant.company_id, str(FIRST_USER_ID), hours=24, role=None)
    say("")
    for name, url in urls.items():
        say(f"  {name:8} {url}  (browse {url}/docs)")
    say(f"\n  token of user {FIRST_USER_ID}, for 24 hours:\n  {bearer}\n")
    say(f"  curl -H 'Authorization: Bearer {bearer}' '{urls['query']}/api/my-500?limit=5'\n")
    say(f"  The list, live:  {urls['query']}/#token={bearer}\n")


def _token(company_id: int, user: str, *, hours: float, role: str | None) -> str:
    return token.issue(
        environment.secret(LOCAL),
        company=company_id,
        user=user,
        now=datetime.now(UTC),
        lasts=timedelta(hours=hours),
        role=role,
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, does, text in (
        ("up", up, f"start the servers and write {environment.env_file(LOCAL)}"),
        ("down", down, "stop them, and a `run` that uses them"),
        ("status", status, "show which servers run"),
        ("run", run, "servers, services and a Pipedrive double, until Ctrl-C"),
        ("secrets", make_secrets, "only create the secrets, for containers"),
    ):
        commands.add_parser(name, help=text).set_defaults(does=does)
    doubles = commands.add_parser("double", help="only the Pipedrive double of `run`")
    doubles.add_argument(
        "--rest-url",
        default=f"http://{ports.HOST}:{environment.DOUBLE_PORT}",
        help="URL of its REST API for the services; it listens on that port",
    )
    doubles.add_argument("--rest-host", help="address to listen on; loopback by default")
    doubles.set_defaults(does=double)
    tokens = commands.add_parser("token", help="print a JWT for the API")
    tokens.add_argument("--company", required=True, type=int, help="Pipedrive company id")
    tokens.add_argument("--user", required=True, help="Pipedrive user id")
    tokens.add_argument("--role", choices=["admin"])
    tokens.add_argument("--hours", type=_hours, default=24.0, help="lifetime in hours (24)")
    tokens.set_defaults(does=issue)
    return made


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= LONGEST_TOKEN_H:
        raise argparse.ArgumentTypeError(f"between 0 and {LONGEST_TOKEN_H}, not {text}")
    return hours


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        code: int = given.does(given)
    except Cancelled:
        say("stopped; state is kept")
        return 0
    except StackError as problem:
        print(f"devstack: {problem}", file=sys.stderr, flush=True)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())

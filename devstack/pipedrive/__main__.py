"""`python -m devstack.pipedrive`: a simulated company that sends webhooks and answers the REST
API.

With `--target` all its changes are pushed there. With `--rest-port` it answers the REST API, and
webhooks registered there receive its live changes.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from devstack.pipedrive import progress
from devstack.pipedrive.api import generated, living
from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.api.limits import Rules as LimitRules
from devstack.pipedrive.bodies import Hook
from devstack.pipedrive.company import Company
from devstack.pipedrive.delivery import Faults, Rules, Sender, Target
from devstack.pipedrive.pushing import Plan, Pusher, Unreachable
from devstack.pipedrive.world import Sizes


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m devstack.pipedrive", description=__doc__)
    made.add_argument("--company", required=True, type=int, help="Pipedrive company id")
    made.add_argument("--seed", type=int, default=1, help="the same seed gives the same company")
    made.add_argument("--users", type=int, default=3)
    made.add_argument("--contacts", type=int, default=500, help="contacts per user")
    made.add_argument("--organizations", type=int, default=200)
    made.add_argument("--bustle", type=float, default=5.0, help="events per contact")
    made.add_argument(
        "--rate", type=float, default=2.0, help="live events/s; 0 ends after history"
    )
    made.add_argument("--state", type=Path, help="folder to remember what has been pushed")
    _add_pushing(made.add_argument_group("pushing everything to one receiver"))
    _add_answering(made.add_argument_group("answering the REST API"))
    return made


def _add_pushing(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--target", help="the receiver's webhook URL")
    made.add_argument("--user", default="", help="Basic auth user of the webhook")
    made.add_argument("--password", default="", help="Basic auth password of the webhook")
    made.add_argument("--v1-share", type=float, default=0.05, help="share sent as webhooks v1")
    made.add_argument("--concurrency", type=int, default=16)
    made.add_argument(
        "--patience", type=float, default=300.0, help="seconds to wait for a receiver"
    )
    made.add_argument(
        "--duplicates", type=float, default=0.0, help="share of live events sent twice"
    )
    made.add_argument(
        "--reorder", type=int, default=0, help="how many others a live event may overtake"
    )
    made.add_argument("--delays", type=float, default=0.0, help="share of live events sent late")


def _add_answering(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--rest-port", type=int, help="port of the REST API; 0: any free one")
    made.add_argument("--rest-host", default="127.0.0.1")
    made.add_argument("--api-token", default="", help="the only token that is accepted")
    made.add_argument("--burst", type=int, default=80, help="calls per 2 s; 0: no limit")
    made.add_argument(
        "--daily-tokens", type=int, default=150_000, help="tokens per day; 0: no limit"
    )
    made.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        help="factor for retries, bans and other long waits",
    )
    made.add_argument(
        "--generated",
        type=_size,
        metavar="PERSONS,ORGANIZATIONS,ACTIVITIES",
        help="rows generated on the fly, without memory, instead of a history",
    )
    made.add_argument(
        "--remember", action="store_true", help="keep all changes for /_double/bodies"
    )


def _size(text: str) -> tuple[int, int, int]:
    persons, organizations, activities = (int(part) for part in text.split(","))
    return persons, organizations, activities


async def run(given: argparse.Namespace) -> None:
    """Runs until the live changes end, which by itself they never do, or a signal."""
    contacts, organizations = given.contacts, given.organizations
    if given.generated:
        contacts = organizations = 0
    sizes = Sizes(given.users, contacts, organizations, given.bustle)
    identity = progress.Identity(given.company, given.seed, sizes)
    done = progress.load(given.state, identity, datetime.now(UTC))
    company = Company(given.seed, sizes, done.epoch)
    say(f"company {given.company}: users {', '.join(str(one) for one in company.user_ids)}")
    async with AsyncExitStack() as stack:
        double, life = None, None
        if given.rest_port is not None:
            double = Double(_setup(given, sizes, done), company)
            if not given.target:
                life = await living.lived(double.account, done, rate=given.rate, state=given.state)
            await stack.enter_async_context(double)
            say(f"REST API at {double.url}")
        if given.target:
            await _push(given, company, done, double)
        elif double is not None and life is not None:
            say(f"{sum(double.account.tables.counts().values()):,} rows exist")
            await living.live(double.account, life, done, state=given.state)
        if double is not None:
            await asyncio.Event().wait()


async def _push(
    given: argparse.Namespace,
    company: Company,
    done: progress.Progress,
    double: Double | None,
) -> None:
    hook = Hook(given.company, company.user_ids, seed=given.seed)
    faults = Faults(given.seed, given.duplicates, given.reorder, given.delays)
    target = Target(given.target, given.user, given.password)
    plan = Plan(hook, given.v1_share, given.rate, given.state, given.patience)
    audience = double.account if double else None
    if audience is not None:
        audience.recall()
        # Writes through the API are sent to the receiver like all other changes.
        registered = await audience.hooks.add(
            user_id=company.user_ids[0],
            url=given.target,
            action="*",
            entity="*",
            version="2.0",
            user=given.user,
            password=given.password,
            name="My-500",
        )
        audience.pushed_hook = registered.hook_id
    async with Sender(target, Rules(concurrency=given.concurrency), faults) as sender:
        await Pusher(plan, company, done, sender, say, audience).run()


def _setup(given: argparse.Namespace, sizes: Sizes, done: progress.Progress) -> Setup:
    size = None
    if given.generated:
        size = generated.Size(given.users, *given.generated)
    return Setup(
        company_id=given.company,
        api_token=given.api_token,
        sizes=sizes,
        seed=given.seed,
        epoch=done.epoch,
        limits=LimitRules(given.burst or None, given.daily_tokens or None),
        delivery=Rules(time_scale=given.time_scale, concurrency=given.concurrency),
        generated=size,
        folder=given.state,
        remembers=given.remember,
        host=given.rest_host,
        port=given.rest_port,
    )


def say(sentence: str) -> None:
    print(f"pipedrive: {sentence}", flush=True)


async def until_signalled(given: argparse.Namespace) -> None:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("must run inside a task")
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, task.cancel)
    try:
        await run(given)
    except asyncio.CancelledError:
        say("stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    made = parser()
    given = made.parse_args(arguments)
    if not given.target and given.rest_port is None:
        made.error("give --target, or --rest-port, or both")
    problem: BaseException | None = None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_signalled(given))
    except* (Unreachable, progress.AnotherCompany) as problems:
        problem = problems
    # Many requests fail together, each in its own groups.
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if problem is not None:
        say(str(problem))
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())

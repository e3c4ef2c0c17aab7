"""`python -m devstack.pipedrive`: a company that lives and tells a receiver about it."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from devstack.pipedrive import progress
from devstack.pipedrive.bodies import Hook
from devstack.pipedrive.company import Company
from devstack.pipedrive.delivery import Faults, Rules, Sender, Target
from devstack.pipedrive.pushing import Plan, Pusher, Unreachable
from devstack.pipedrive.world import Sizes


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m devstack.pipedrive", description=__doc__)
    made.add_argument("--target", required=True, help="the receiver's webhook URL")
    made.add_argument("--user", required=True, help="Basic auth user of the webhook")
    made.add_argument("--password", required=True, help="Basic auth password of the webhook")
    made.add_argument("--company", required=True, type=int, help="Pipedrive company id")
    made.add_argument("--seed", type=int, default=1, help="same seed, same company")
    made.add_argument("--users", type=int, default=3)
    made.add_argument("--contacts", type=int, default=500, help="per user")
    made.add_argument("--organizations", type=int, default=200)
    made.add_argument("--bustle", type=float, default=5.0, help="happenings per contact")
    made.add_argument("--v1-share", type=float, default=0.05, help="share sent as webhooks v1")
    made.add_argument(
        "--rate", type=float, default=2.0, help="live events/s; 0 ends after history"
    )
    made.add_argument("--state", type=Path, help="folder that remembers what has been pushed")
    made.add_argument("--concurrency", type=int, default=16)
    made.add_argument(
        "--patience", type=float, default=300.0, help="seconds to wait for a receiver"
    )
    made.add_argument(
        "--duplicates", type=float, default=0.0, help="share of live events sent twice"
    )
    made.add_argument("--reorder", type=int, default=0, help="live events may overtake so many")
    made.add_argument("--delays", type=float, default=0.0, help="share of live events sent late")
    return made


async def push(given: argparse.Namespace) -> None:
    """Until the trickle ends, which by itself it never does, or a signal."""
    sizes = Sizes(given.users, given.contacts, given.organizations, given.bustle)
    identity = progress.Identity(given.company, given.seed, sizes)
    done = progress.load(given.state, identity, datetime.now(UTC))
    company = Company(given.seed, sizes, done.epoch)
    hook = Hook(given.company, company.user_ids, seed=given.seed)
    faults = Faults(given.seed, given.duplicates, given.reorder, given.delays)
    target = Target(given.target, given.user, given.password)
    plan = Plan(hook, given.v1_share, given.rate, given.state, given.patience)
    say(f"company {given.company}: users {', '.join(str(one) for one in company.user_ids)}")
    async with Sender(target, Rules(concurrency=given.concurrency), faults) as sender:
        await Pusher(plan, company, done, sender, say).run()


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
        await push(given)
    except asyncio.CancelledError:
        say("stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    problem: BaseException | None = None
    try:
        asyncio.run(until_signalled(given))
    except* (Unreachable, progress.AnotherCompany) as problems:
        problem = problems
    # Many requests give up together, each in the groups that it ran in.
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if problem is not None:
        say(str(problem))
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())

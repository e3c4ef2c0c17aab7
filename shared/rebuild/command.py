"""`python -m services.SERVICE rebuild`, as a command line.

Rule 1: it can be killed at any moment and run again; it resumes where it was.
Rule 2: a service has one rebuild at a time. That is ensured by a connection's lock, so the
        connection is watched throughout.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from shared import db, lifecycle
from shared.errors import Unavailable
from shared.kafka import client
from shared.kafka.scanning import existing
from shared.rebuild import schemas
from shared.rebuild.building import Building, building
from shared.rebuild.plan import Plan
from shared.rebuild.switching import NotYet, Waited, switch

COMMAND: Final = "rebuild"
LOCK: Final = 0x5242
TRY_LOCK: Final = "SELECT pg_try_advisory_lock($1, hashtext($2))"
LOCK_S: Final = 5.0
LOOK_S: Final = 0.5
LINE_S: Final = 5.0
RETRY_S: Final = 2.0
CLOSE: Final = 2_000
"""Within so many records of the end, the rest is read while live workers wait."""


def arguments(service: str, words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{service} {COMMAND}",
        description="Rebuild the store from the log beside the live one, then switch to it. "
        "Services keep running. The old store is kept until the next rebuild.",
    )
    parser.add_argument("--restart", action="store_true", help="start over instead of resuming")
    parser.add_argument(
        "--drop-old", action="store_true", help="drop the old store after the switch"
    )
    parser.add_argument(
        "--only-drop-old", action="store_true", help="only drop the old store of the last rebuild"
    )
    return parser.parse_args(words)


class Alone:
    """The lock that a rebuild holds."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._conn: asyncpg.Connection | None = None

    async def hold(self) -> None:
        """Take it, or take it again if its connection is gone.

        Raises:
            SystemExit: another process has it.
            Unavailable: Postgres is away.
        """
        if self._conn is not None and not self._conn.is_closed():
            return
        conn = await _connection(self._plan)
        try:
            with db.errors():
                free = await conn.fetchval(TRY_LOCK, LOCK, self._plan.service, timeout=LOCK_S)
        except Unavailable:
            conn.terminate()
            raise
        if not free:
            conn.terminate()
            raise SystemExit(f"another rebuild of {self._plan.service} is running")
        self._conn = conn

    def let_go(self) -> None:
        if self._conn is not None:
            self._conn.terminate()


async def run(plan: Plan, chosen: argparse.Namespace) -> None:
    """Raises:
    SystemExit: another rebuild is running, Postgres is away at the start, or it was
    interrupted; the message says which.
    """
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a coroutine runs in a task")
    try:
        with lifecycle.on_signal(task.cancel):
            async with _alone(plan) as alone:
                if not chosen.only_drop_old:
                    await _rebuild(plan, alone, restart=chosen.restart)
                if chosen.drop_old or chosen.only_drop_old:
                    await _drop_old(plan)
    except (Unavailable, *db.OUTAGES) as away:
        raise SystemExit(f"{plan.service}: not rebuilt: {away}") from away
    except asyncio.CancelledError:
        raise SystemExit(f"{plan.service}: stopped; the same command resumes from here") from None


async def _rebuild(plan: Plan, alone: Alone, *, restart: bool) -> None:
    await _check_log(plan)
    async with _connected(plan) as conn:
        await schemas.drop_old(conn, plan)
        resumed = await schemas.begin(conn, plan, restart=restart)
    _say(f"{plan.service}: {'resuming' if resumed else 'building'} {plan.next}")
    began = time.monotonic()
    async with building(plan) as build:
        waited = await _until_switched(plan, alone, build)
        poison = build.poison
    async with _connected(plan) as conn:
        read = sum((await schemas.offsets(conn, plan.service)).values())
    _say(
        f"{plan.service}: switched after {read:,} records, {time.monotonic() - began:.0f} s; "
        f"{poison} could not be read; the old store is {plan.old}; {_told(waited)}"
    )


def _told(waited: Waited | None) -> str:
    if waited is None:
        return "how long others waited is not known"
    writers, readers = 1000 * waited.writers_s, 1000 * waited.readers_s
    return f"writers waited {writers:.0f} ms, readers {readers:.0f} ms"


async def _check_log(plan: Plan) -> None:
    """Raises:
    SystemExit: a topic does not exist, and nobody is about to create it.
    """
    with contextlib.suppress(Unavailable):  # an outage is waited out later
        reason = client.lacking(plan.settings, plan.consumed, await existing(plan.settings))
        if reason:
            raise SystemExit(f"{plan.service}: not rebuilt: {reason}; start the services first")


async def _until_switched(plan: Plan, alone: Alone, build: Building) -> Waited | None:
    """Null if the answer to the last step was lost."""
    while True:
        await _until_close(plan, alone, build)
        try:
            async with _connected(plan) as conn:
                await schemas.analyze(conn, plan.next)
                for statement in plan.told:
                    await conn.execute(statement)
                await schemas.analyze_outbox(conn, plan.next)
                return await switch(conn, plan, build)
        except (NotYet, Unavailable, *db.OUTAGES) as reason:
            if not isinstance(reason, NotYet) and await _is_switched(plan):
                return None
            _say(f"not switched yet: {reason}")
            await asyncio.sleep(RETRY_S)


async def _is_switched(plan: Plan) -> bool:
    """A connection that was lost may have been lost after the switch."""
    while True:
        try:
            async with _connected(plan) as conn:
                return await schemas.is_switched(conn, plan)
        except (Unavailable, *db.OUTAGES) as away:
            _say(f"waiting: {away}")
            await asyncio.sleep(RETRY_S)


async def _until_close(plan: Plan, alone: Alone, build: Building) -> None:
    told_at = 0.0
    while True:
        trouble = ""
        try:
            await alone.hold()
            await build.look()
            near = build.progress.behind <= CLOSE and await plan.settled(build.pool)
        except Unavailable as away:
            near, trouble = False, f"  waiting: {away}"
        if near or time.monotonic() - told_at > (LOOK_S if sys.stdout.isatty() else LINE_S):
            told_at = time.monotonic()
            _say(build.progress.line() + trouble, ends=near)
        if near:
            return
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def _alone(plan: Plan) -> AsyncIterator[Alone]:
    alone = Alone(plan)
    try:
        await alone.hold()
        yield alone
    finally:
        alone.let_go()


async def _connection(plan: Plan) -> asyncpg.Connection:
    """A connection whose statements may take long."""
    with db.errors():
        return await asyncpg.connect(
            plan.dsn,
            timeout=db.CONNECT_TIMEOUT_S,
            server_settings={
                "application_name": f"my500-{plan.service}-rebuild",
                **db.ABANDONED,  # it locks every table of both stores while it switches
            },
        )


@asynccontextmanager
async def _connected(plan: Plan) -> AsyncIterator[asyncpg.Connection]:
    conn = await _connection(plan)
    try:
        yield conn
    finally:
        conn.terminate()


async def _drop_old(plan: Plan) -> None:
    async with _connected(plan) as conn:
        there = await schemas.drop_old(conn, plan)
    _say(f"{plan.service}: {plan.old} {'dropped' if there else 'does not exist'}")


def _say(text: str, *, ends: bool = True) -> None:
    """On a terminal a line that does not end is overwritten by the next."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\033[K{text}" + ("\n" if ends else ""))
    else:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()

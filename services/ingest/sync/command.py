"""`python -m services.ingest connect --company C [--url https://…]`: connect, and show the sync.

Rule: the sync runs here unless a process of the sync role takes it first; either way its progress
is shown, and ending this program only ends its own part: the sync role resumes where it stopped.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.ingest.calling import calling
from services.ingest.preparing import Prepared
from services.ingest.settings import IngestSettings
from services.ingest.sync import answers, lists, role, sync_store
from services.ingest.sync.answers import Reason
from services.ingest.sync.connecting import NoUrl
from services.ingest.sync.runner import Runner
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync
from shared import db, lifecycle, outbox
from shared.errors import Unavailable
from shared.observability import configure_logs
from shared.pipedrive.errors import PipedriveRefused
from shared.settings import told
from shared.tenants import Tenants

LOOK_S: Final = 0.5
TELLING_S: Final = 5.0
"""How long the end of a sync may take to be published before others are left to do it."""
BAR_CHARS: Final = 30
DONE: Final[Mapping[Reason | None, str]] = {
    None: "unchanged",
    Reason.MISSING: "registered",
    Reason.DIFFERENT: "registered again, as it was switched off or different",
    Reason.OWNER: "registered again, as it belonged to another user",
    Reason.CREDENTIALS: "registered again, as its credentials had changed",
}
GOES_ON: Final = "The sync role resumes from here, and so does this command when run again."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m services.ingest connect",
        description="Register our webhook at Pipedrive and run a full sync.",
    )
    made.add_argument("--company", required=True, type=int, help="Pipedrive company id")
    made.add_argument("--url", help="URL at which Pipedrive reaches ingest; default: PUBLIC_URL")
    return made


async def main(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    settings = told(IngestSettings)
    configure_logs("WARNING")  # waits are logged as warnings
    tenants = Tenants(settings.tenants_file)
    prepared = Prepared(settings)
    with lifecycle.stop_on_signal() as stop:
        async with (
            calling(settings, tenants) as (budget, clients),
            role.assembled(settings, tenants, budget, clients, prepared) as sync,
        ):
            try:
                clients.of(given.company)  # a missing token is reported before waiting for servers
                await prepared.make(stop)
                if stop.is_set():
                    _say("stopped; nothing was done")
                    return 1
                return await _connected(sync, given.company, given.url, stop)
            except (NoUrl, PipedriveRefused, Unavailable) as why:
                _say(str(why))
                return 1


async def _connected(
    sync: role.Sync, company_id: int, url: str | None, stop: asyncio.Event
) -> int:
    """An unfinished incremental sync is shown first, then the full one."""
    while True:
        made = await sync.connecting.connect(company_id, url)
        what = DONE[made.registered_because]
        _say(f"webhook {made.webhook_id} to {made.webhook_url}: {what}")
        row = await _filled(sync, company_id, made.sync_id, stop)
        if row is None or row.finished_at is None:
            _say(f"stopped. {GOES_ON}")
            return 1
        _tell(row)
        if row.state != "done":
            return 1
        if row.reads is Mode.FULL:
            return 0


async def _filled(
    sync: role.Sync, company_id: int, sync_id: UUID, stop: asyncio.Event
) -> Sync | None:
    """Raises:
    Unavailable: Postgres, which has the progress, is away.
    """
    ended, published = asyncio.Event(), asyncio.Event()
    row, outage = None, None
    async with asyncio.TaskGroup() as group:
        group.create_task(Runner(sync.parts, sync.pool, only=company_id).run(ended))
        group.create_task(sync.relay.run(published))
        group.create_task(sync.tenants.watch(ended))
        try:
            row = await _shown_to_its_end(sync.pool, company_id, sync_id, stop)
        except Unavailable as error:  # a task group would wrap it in an exception group
            outage = error
        ended.set()
        if row is not None and row.finished_at is not None:
            await _told(sync.pool, stop)
        published.set()
    if outage is not None:
        raise Unavailable(f"{outage}. {GOES_ON}") from outage
    return row


async def _told(pool: db.Pool, stop: asyncio.Event) -> None:
    """Wait a moment for the sync's end to be published."""
    with contextlib.suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(TELLING_S):
            with db.errors():
                while not await outbox.is_empty(pool):
                    if await lifecycle.wait_or_stop(LOOK_S / 10, stop):
                        return


def _tell(row: Sync) -> None:
    _say(f"{row.state}{f': {row.reason}' if row.reason else ''}, {row.tokens} tokens")
    for name in (each for each in lists.ALL if each in row.counts):
        of = row.counts[name]
        _say(f"  {name}: {of['read']:,} read, {of['changed']:,} changed, {of['failed']} failed")


async def _shown_to_its_end(
    pool: db.Pool, company_id: int, sync_id: UUID, stop: asyncio.Event
) -> Sync | None:
    while True:
        with db.errors():
            async with pool.acquire() as conn:
                row = await sync_store.one(conn, company_id, sync_id)
        if row is None or row.finished_at is not None:
            return row
        sys.stderr.write("\r" + progress(row) + "\x1b[K")
        sys.stderr.flush()
        if await lifecycle.wait_or_stop(LOOK_S, stop):
            return row


def progress(row: Sync) -> str:
    share = answers.share(row) or 0.0
    filled = round(share * BAR_CHARS)
    read = sum(of["read"] for of in row.counts.values())
    left = answers.seconds_left(row, datetime.now(UTC))
    told = f"[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {share:4.0%}  {read:,} rows"
    step = row.mark.get("step", row.state)
    waits = f"  waits: {row.reason}" if row.reason else ""
    return f"{told}  {step}  {f'{left} s left' if left is not None else ''}{waits}"


def _say(sentence: str) -> None:
    sys.stderr.write(f"\r{sentence}\x1b[K\n")

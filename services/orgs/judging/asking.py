"""Finds what changed records resemble, beside the worker, and stores the questions to people.

Rule 1: the worker only marks a record as unasked, since finding its nearest by trigram takes
        longer than placing it.
Rule 2: one at a time per store, in short pieces, and mostly pausing: imports have priority for the
        CPU, and a change on its way to its page is not delayed.
Rule 3: tenants take turns, a piece each, so that one tenant's import does not stop the others'
        questions.
Rule 4: results are written under the tenant's lock; a record that changed meanwhile stays unasked
        and gets another turn.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.orgs import alias_store, candidate_store, names, rederiving
from services.orgs.alias_store import Alias, Domain
from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.judging import review_store, verdict_store
from services.orgs.matching import asking, renaming
from services.orgs.matching.asking import Asked
from services.orgs.matching.profile import Profile
from services.orgs.matching.renaming import Told
from services.orgs.matching.statement import Statement
from shared import db, lifecycle, locks
from shared.lifecycle import Works

BATCH = 20
IDLE_S = 0.5
PIECE_S = 0.05
"""Target duration of a batch: where all names of a tenant are alike, one record takes as long as
fifty others.
"""
REST = 4.0
"""Pauses this many times as long as it worked."""
ASKER_LOCK_SPACE = 0x4F03

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1, hashtext(current_schema()))"


@dataclass(slots=True)
class Turn:
    """The tenant that had its turn last."""

    company_id: int = -1


class Asker:
    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self._turn = Turn()

    async def run(self, stop: asyncio.Event) -> None:
        await lifecycle.sessions(partial(self._session, stop), stop, what="asking")

    async def _session(self, stop: asyncio.Event, works: Works) -> None:
        limit, derive_at = BATCH, 0.0
        while not stop.is_set():
            if time.monotonic() >= derive_at:
                await rederiving.rederive(self._pool, stop)
                derive_at = time.monotonic() + rederiving.AGAIN_S
            began = time.monotonic()
            with db.errors():
                asked = await ask(self._pool, limit, self._turn)
            works()
            took_s = time.monotonic() - began
            if asked:
                limit = following(limit, took_s)
            await lifecycle.wait_or_stop(REST * took_s if asked else IDLE_S, stop)


def following(limit: int, took_s: float) -> int:
    """How many records to look at next, given how long the last ones took."""
    if took_s > PIECE_S:
        return max(1, limit // 2)
    return min(BATCH, limit * 2) if took_s < PIECE_S / 2 else limit


async def ask(pool: db.Pool, limit: int = BATCH, turn: Turn | None = None) -> int:
    """Process some of a tenant's changed records; return how many."""
    turn = turn or Turn()
    async with pool.acquire() as conn, conn.transaction():
        if not await conn.fetchval(TRY_LOCK, ASKER_LOCK_SPACE):
            return 0
        unasked = await candidate_store.unasked(conn, turn.company_id, limit)
        if not unasked:
            return 0
        records = [each.record for each in unasked]
        turn.company_id = records[0].company_id
        living = [record for record in records if record.lives]
        standing = await review_store.standing(conn, [record.key for record in living])
        known = {(key, other) for key, others in standing.items() for other in others}
        said = await _said(conn, living)
        known |= {
            (record.key, (record.company_id, ref))
            for record in living
            for each in said.get(record.key, ())
            if each.same
            for ref in each.refs
        }
        near = await candidate_store.near(conn, living, known)
        told = await alias_store.of_all(conn, [record.key for record in living])
        domains = await _domains(conn, living, told)
        asked: list[tuple[OrgKey, Asked]] = []
        for record in living:
            refs = frozenset(ref.hex for _, ref in standing.get(record.key, ()))
            seen = _seen(record, told.get(record.key, ()))
            found = asking.asked(seen, near.get(record.key, ()), said.get(record.key, ()), refs)
            asked += [(record.key, each) for each in found]
            renamed = _renamed(record, told, domains)
            asked += [(record.key, renamed)] if renamed else []
            await asyncio.sleep(0)  # comparing takes milliseconds: let requests run in between
        await locks.hold(conn, TENANT_LOCK_SPACE, [turn.company_id])
        await review_store.replace(conn, [record.key for record in records], asked)
        await candidate_store.asked(conn, unasked)
        return len(records)


async def _domains(
    conn: db.Connection, records: Sequence[Record], of_all_times: Mapping[OrgKey, Sequence[Alias]]
) -> dict[OrgKey, list[Domain]]:
    """Former and present domains of records that had other names."""
    renamed = [
        record.key
        for record in records
        if record.profile.domain and len(_own(record, of_all_times)) > 1
    ]
    return await alias_store.domains_of(conn, renamed)


def _renamed(
    record: Record,
    of_all_times: Mapping[OrgKey, Sequence[Alias]],
    domains: Mapping[OrgKey, Sequence[Domain]],
) -> Asked | None:
    names_told = [Told(*alias[3:]) for alias in _own(record, of_all_times)]
    domains_told = [Told(*each[2:]) for each in domains.get(record.key, ())]
    return renaming.asked(record.profile, names_told, domains_told)


def _own(record: Record, of_all_times: Mapping[OrgKey, Sequence[Alias]]) -> list[Alias]:
    """Without the names of what was merged into it."""
    told = of_all_times.get(record.key, ())
    return [alias for alias in told if alias.record_id == record.record_id]


def _seen(record: Record, of_all_times: Iterable[Alias]) -> Profile:
    home = record.home.hex if record.home else ""
    return asking.seen(
        record.profile, home, [names.normalized(each.name) for each in of_all_times]
    )


async def _said(conn: db.Connection, records: Sequence[Record]) -> dict[OrgKey, list[Statement]]:
    verdicts = await verdict_store.naming(conn, [record.key for record in records])
    found: dict[OrgKey, list[Statement]] = {}
    for verdict in verdicts:
        statement = verdict.statement
        if statement is not None:
            for ref in statement.refs:
                found.setdefault((verdict.company_id, ref), []).append(statement)
    return found

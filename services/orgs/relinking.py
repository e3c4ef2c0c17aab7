"""Moves the contacts of large organizations after their records, in parts, beside the worker.

A record that moves takes some of its contacts along at once (`contact_store.AT_ONCE`). Moving
300,000 in one transaction would take longer than a statement may, and hold up all companies.

Rule 1: where contacts belong is read from their records when it is their turn, whatever happened
        to these meanwhile.
Rule 2: one worker per store at a time, one part at a time under the tenant's lock, and mostly
        pausing: the company's events run in between, and consumers keep up with the links that are
        published, or everybody's would queue behind these. Companies take turns.
"""

import time

from services.orgs import contact_store, summing
from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.effects import Effects
from services.orgs.in_parts import in_parts
from shared import db, lifecycle, locks

REST = 4.0
"""Pauses this many times as long as it worked."""
RELINKER_LOCK_SPACE = 0x4F05


def relinking(pool: db.Pool) -> lifecycle.Loop:
    return in_parts(pool, relink, rest=REST, what="relinking")


async def relink(pool: db.Pool, behind: int | None = None) -> int | None:
    """Move a part of the contacts of one company, the next after `behind`; return the company, or
    null if there was nothing to do.
    """
    async with pool.acquire() as conn, conn.transaction():
        if not await locks.try_hold(conn, RELINKER_LOCK_SPACE, ["one of a store"]):
            return None
        company_id = await contact_store.company_to_relink(conn, behind)
        if company_id is None:
            return None
        await locks.hold(conn, TENANT_LOCK_SPACE, [company_id])
        effects = Effects(now_us=time.time_ns() // 1000)
        homes = await contact_store.to_relink(conn, company_id)
        moves = await contact_store.relink(conn, homes, now_us=effects.now_us)
        if len(moves) < contact_store.AT_ONCE:
            await contact_store.relinked(conn, homes)
        effects.moved(moves)
        await summing.settle(conn, effects)
        return company_id


async def settled(pool: db.Pool) -> bool:
    """Whether all contacts have followed."""
    with db.errors():
        return await contact_store.company_to_relink(pool, None) is None

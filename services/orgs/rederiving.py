"""Derives stored keys again where other code derived them, and places their records again.

Rule: runs beside the worker from its start, tenant by tenant under the tenant's lock; until then a
record is found by its old keys only. Older code may run beside it for a while, so it looks again
every hour.
"""

import asyncio
import time
from uuid import UUID

from services.orgs import linking, placing, record_store, summing
from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.effects import Effects, OrgKey
from shared import db, heart, locks

BATCH = 200
AGAIN_S = 3600.0
BEFORE_ALL: OrgKey = (-1, UUID(int=0))


async def rederive(pool: db.Pool, stop: asyncio.Event) -> int:
    """Update all outdated records, unless stopped first; return how many there were."""
    total = 0
    after: OrgKey | None = BEFORE_ALL
    while after is not None and not stop.is_set():
        heart.beat()
        with db.errors():
            keys = await _batch(pool, after)
        total += len(keys)
        after = keys[-1] if keys else None
    return total


async def _batch(pool: db.Pool, after: OrgKey) -> list[OrgKey]:
    async with pool.acquire() as conn, conn.transaction():
        keys = await record_store.derived_otherwise(conn, after, BATCH)
        if keys:
            await locks.hold(conn, TENANT_LOCK_SPACE, {company_id for company_id, _ in keys})
            records = await record_store.load(conn, keys)
            await record_store.save(conn, records.values(), records.keys())
            effects = Effects(now_us=time.time_ns() // 1000)
            await placing.rearrange(conn, records.keys(), effects)
            await linking.refresh_moments(conn, effects)
            await summing.settle(conn, effects)
        return keys

"""Publishes what organizations count, where that changed for many of them at once.

During an import each batch adds a contact or two to each of hundreds of organizations: published
every time, an organization would be published as often as it has contacts, and every consumer
would pay for each. The store itself is exact at every moment.

Rule 1: what people enter about an organization is published with its batch; so is everything, if
        the totals of few changed.
Rule 2: the rest is published once no batch has changed many of the company's for a moment; until
        then each a minute after its first change, the oldest first.
Rule 3: it is read when it is published, under the tenant's lock: a version is published only once
        its state is the newest.
Rule 4: one worker per store at a time, with pauses: the company's events run in between.
"""

from typing import Final

from services.orgs import states, untold_store
from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.in_parts import in_parts
from shared import db, lifecycle, locks, outbox, topics

QUIET_S: Final = 2.0
LONGEST_S: Final = 60.0
AT_ONCE: Final = 1_000
REST: Final = 2.0
"""Pauses this many times as long as it worked."""
TELLER_LOCK_SPACE: Final = 0x4F06


def telling(pool: db.Pool) -> lifecycle.Loop:
    return in_parts(pool, tell, rest=REST, what="totals")


async def tell(
    pool: db.Pool,
    behind: int | None = None,
    *,
    quiet_s: float = QUIET_S,
    longest_s: float = LONGEST_S,
) -> int | None:
    """Publish some of the totals of one company, the next after `behind`; return the company, or
    null if nothing was due.
    """
    async with pool.acquire() as conn, conn.transaction():
        if not await locks.try_hold(conn, TELLER_LOCK_SPACE, ["one of a store"]):
            return None
        due = await untold_store.due(conn, behind, quiet_s=quiet_s, longest_s=longest_s)
        if due is None:
            return None
        await locks.hold(conn, TENANT_LOCK_SPACE, [due.company_id])
        organizations = await untold_store.take(
            conn, due.company_id, least_s=0 if due.is_quiet else longest_s, limit=AT_ONCE
        )
        await outbox.put(conn, topics.ORG_STATES, map(states.of_organization, organizations))
        return due.company_id

"""Locks on names, held until the transaction ends, whether rows for them exist or not.

Rule 1: everyone takes the locks in one order, so two batches wait for one another and never
        deadlock.
Rule 2: two names may share a lock; that only costs a wait.
Rule 3: a store that is built beside the live one shares no lock with it.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence

from shared import db

# The schema is part of the name (rule 3). It is looked up once, not per key, and one row comes
# back; arrays are unnested in their order.
LOCK = """
SELECT count(CASE WHEN shared
                  THEN pg_advisory_xact_lock_shared(keys.space # own.space, key)::text
                  ELSE pg_advisory_xact_lock(keys.space # own.space, key)::text END)
  FROM (SELECT hashtext(current_schema()) AS space OFFSET 0) AS own
 CROSS JOIN unnest($1::int[], $2::int[], $3::boolean[]) AS keys (space, key, shared)
"""

TRY_LOCK = """
SELECT bool_and(pg_try_advisory_xact_lock(own.space, key))
  FROM (SELECT $1::int # hashtext(current_schema()) AS space OFFSET 0) AS own
 CROSS JOIN unnest($2::int[]) AS keys (key)
"""


async def hold(
    conn: db.Connection, space: int, names: Iterable[object], *, shared: Iterable[object] = ()
) -> None:
    """Names in `shared` are locked in shared mode, the others exclusively."""
    alone = _keys(names)
    keys = sorted([(key, False) for key in alone] + [(k, True) for k in _keys(shared) - alone])
    await _hold(conn, [(space, *key) for key in keys])


async def hold_all(
    conn: db.Connection,
    spaces: Mapping[int, Iterable[object]],
    *,
    shared: Mapping[int, Iterable[object]] | None = None,
) -> None:
    """Names in several spaces, one space after the other; shared locks first."""
    keys = [
        (space, key, is_shared)
        for named, is_shared in ((shared or {}, True), (spaces, False))
        for space, names in named.items()
        for key in sorted(_keys(names))
    ]
    await _hold(conn, keys)


async def try_hold(conn: db.Connection, space: int, names: Iterable[object]) -> bool:
    """As `hold`, but without waiting, and so in any order. False if others hold some of them; the
    rest is locked all the same.
    """
    keys = sorted(_keys(names))
    return not keys or bool(await conn.fetchval(TRY_LOCK, space, keys))


async def _hold(conn: db.Connection, keys: Sequence[tuple[int, int, bool]]) -> None:
    if keys:
        await conn.execute(LOCK, *db.columns(keys, 3))


def _keys(names: Iterable[object]) -> set[int]:
    return {zlib.crc32(repr(name).encode()) - 2**31 for name in names}

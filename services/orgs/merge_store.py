"""SQL of Pipedrive's merges: who was merged away, and where each chain ends.

Rule: `root` is right for every loser after each `settle`; a non-loser is its own root.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from services.orgs import merging
from services.orgs.folding import Key
from shared import db

Kind = Literal["person", "organization"]

OF_LOSERS = """
SELECT m.company_id, m.loser, m.survivor, m.root
  FROM unnest($2::bigint[], $3::bigint[]) AS k (company_id, loser)
  JOIN merges m ON m.company_id = k.company_id AND m.kind = $1 AND m.loser = k.loser
"""

OF_ROOTS = """
SELECT m.company_id, m.loser, m.survivor, m.root
  FROM unnest($2::bigint[], $3::bigint[]) AS k (company_id, root)
  JOIN merges m ON m.company_id = k.company_id AND m.kind = $1 AND m.root = k.root
"""

SAVE = """
INSERT INTO merges (company_id, kind, loser, survivor, root)
SELECT company_id, $1, loser, survivor, root
  FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
       AS m (company_id, loser, survivor, root)
    ON CONFLICT (company_id, kind, loser) DO UPDATE
   SET survivor = EXCLUDED.survivor, root = EXCLUDED.root
"""

FORGET = """
DELETE FROM merges m
 USING unnest($2::bigint[], $3::bigint[]) AS k (company_id, loser)
 WHERE m.company_id = k.company_id AND m.kind = $1 AND m.loser = k.loser
"""


async def roots(
    conn: db.Connection | db.Pool, kind: Kind, numbers: Collection[Key]
) -> dict[Key, int]:
    """The end of the chain of those that were merged away."""
    if not numbers:
        return {}
    found = await conn.fetch(OF_LOSERS, kind, *db.columns(list(numbers), 2))
    return {(row["company_id"], row["loser"]): row["root"] for row in found}


async def settle(conn: db.Connection, kind: Kind, changed: Mapping[Key, int | None]) -> set[Key]:
    """Put survivors of losers (none: no longer merged away); return every root concerned.

    A chain can change only through a changed loser, and that loser had the same root, so the
    losers of the old roots, with the new survivors' own roots, are all that is needed.
    """
    if not changed:
        return set()
    before = await roots(conn, kind, changed.keys())
    old = {(key[0], before.get(key, key[1])) for key in changed}
    found = await conn.fetch(OF_ROOTS, kind, *db.columns(list(old), 2))
    edges = {(row["company_id"], row["loser"]): row["survivor"] for row in found}
    stored = {(row["company_id"], row["loser"]): (row["survivor"], row["root"]) for row in found}
    edges = {k: s for k, s in {**edges, **changed}.items() if s is not None}
    # Before the ends are looked up: an entity that lives again no longer leads elsewhere.
    await _forget(conn, kind, [key for key in stored if key not in edges])
    ends = await _ends(conn, kind, edges)
    await _save(
        conn,
        kind,
        [
            (*key, survivor, ends[key])
            for key, survivor in edges.items()
            if stored.get(key) != (survivor, ends[key])
        ],
    )
    return old | {(key[0], end) for key, end in ends.items()}


async def _ends(conn: db.Connection, kind: Kind, edges: Mapping[Key, int]) -> dict[Key, int]:
    outside = {(key[0], survivor) for key, survivor in edges.items()} - edges.keys()
    known = await roots(conn, kind, outside)
    ends: dict[Key, int] = {}
    for company_id in {key[0] for key in edges}:
        found = merging.roots(
            {loser: s for (company, loser), s in edges.items() if company == company_id},
            {loser: root for (company, loser), root in known.items() if company == company_id},
        )
        ends |= {(company_id, loser): root for loser, root in found.items()}
    return ends


async def _forget(conn: db.Connection, kind: Kind, losers: list[Key]) -> None:
    if losers:
        await conn.execute(FORGET, kind, *db.columns(losers, 2))


async def _save(conn: db.Connection, kind: Kind, rows: list[tuple[int, int, int, int]]) -> None:
    if rows:
        await conn.execute(SAVE, kind, *db.columns(rows, 4))

"""SQL of the names of options. Every function takes the caller's connection."""

from collections.abc import Iterable

from services.ingest import fields
from services.ingest.sync.options import NONE, Names, Option
from shared.db import Connection, columns

NAMES = "SELECT field, id, name FROM field_options WHERE company_id = $1 AND entity = $2"

KEEP = """
INSERT INTO field_options AS held (company_id, entity, field, id, name)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[])
    ON CONFLICT (company_id, entity, field, id) DO UPDATE
   SET name = EXCLUDED.name
 WHERE held.name <> EXCLUDED.name
"""


async def names(conn: Connection, company_id: int, entity: str) -> Names:
    if entity not in fields.OPTIONS:
        return NONE
    found: dict[str, dict[int, str]] = {}
    for field, number, name in await conn.fetch(NAMES, company_id, entity):
        found.setdefault(field, {})[number] = name
    return found


async def keep(conn: Connection, company_id: int, options: Iterable[Option]) -> None:
    rows = sorted({each[:3]: each for each in options}.values())
    if rows:
        await conn.execute(KEEP, company_id, *columns(rows, 4))

"""Which contacts belong to an organization."""

from collections.abc import Sequence
from uuid import UUID

from services.query.batch import User
from services.query.searching import bitmaps, lookup_store, terms
from services.query.searching.bits import Bits
from services.query.searching.lookup_store import Wanted
from services.query.searching.terms import Kind
from shared.db import Connection


async def slots(
    conn: Connection, user: User, organizations: Sequence[UUID], size: int
) -> dict[UUID, Bits]:
    """The slots of each organization's contacts."""
    kind = Kind.MEMBER
    wanted = {each: [Wanted(terms.member(each)[0], kind, kind)] for each in organizations}
    found = await lookup_store.postings(conn, user, wanted)
    return {each: bitmaps.joined(found[each, kind], size) for each in organizations}

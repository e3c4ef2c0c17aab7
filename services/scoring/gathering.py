"""Reads everything that living contacts are scored by, including what merges brought them."""

from collections.abc import Sequence

from services.scoring import signals as summing
from services.scoring import store
from services.scoring.families import Key, families
from services.scoring.signals import Signals
from shared import db


async def signals(
    conn: db.Connection, contacts: Sequence[Key], *, keep: int
) -> dict[Key, Signals]:
    """For those that are alive. `keep`: how many due dates at most."""
    members = families(contacts, await store.merges(conn, contacts))
    persons = sorted({*contacts, *(each for every in members.values() for each in every)})
    rows = await store.signals(conn, persons, keep=keep)
    found = {}
    for key in contacts:
        profile = rows[key].profile
        if profile is not None:
            parts = [rows[each].dealings for each in members.get(key, [key])]
            found[key] = Signals(profile, summing.combine(parts, keep=keep))
    return found

"""Known rows that a walk did not show: whether they are deleted, archived, or not visible to us.

Rule 1: a row is gone when Pipedrive says so of that row: by 404, or by showing it as deleted. Its
        absence from a list proves nothing: it may have been archived, or hidden from our user.
        Nor does a 404 if the list of such rows is not served to the company either.
Rule 2: it counts as gone since the walk began, so that any later webhook wins.
Rule 3: if the token or the account is not accepted, that says nothing about any row.
Rule 4: a row for which Pipedrive returns only errors, while it answers for others, or something
        that is no row, counts as failed and blocks nothing. The next walk comes back to it.
Rule 5: if one row after another is hidden, the token's user sees less than before. Each costs a
        call, every night, so the rest of the list is skipped, and the sync reports it.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from services.ingest import rows
from services.ingest.sync import comparing, known_store, lists
from services.ingest.sync.asking import MOST_IDS, NOTHING_WORKS, Stopped
from services.ingest.sync.comparing import Compared, Rows
from services.ingest.sync.lists import Kind, List
from services.ingest.sync.reading import Reader
from shared import db, heart
from shared.errors import Poison
from shared.pipedrive.client import DEADLINE_S
from shared.pipedrive.errors import GONE, PipedriveRefused, Unanswered

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
HIDDEN: Final = 403
ENOUGH: Final = 300
SENTENCE: Final = (
    "The API token's user can no longer see it, nor hundreds before it: whether the rows that "
    "follow still exist was not checked."
)


@dataclass(slots=True)
class Seen:
    """The result of looking up rows one by one."""

    hidden: int = 0
    living: list[Any] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    silent: dict[str, Unanswered] = field(default_factory=dict)


async def settle(reader: Reader, of: List) -> None:
    """Look up all suspects of a list, as long as that tells anything."""
    conn, sync_id = reader.source.conn, reader.progress.sync.id
    hidden = 0
    while True:
        if reader.source.stop.is_set():
            raise Stopped
        heart.beat()
        with db.own(conn):
            places = await known_store.suspects(conn, sync_id, of.name, MOST_IDS)
        if not places:
            return
        if hidden >= ENOUGH:
            await _leave(reader, of, places[0])
            return
        seen = await _settle(reader, of, places)
        hidden = hidden + seen.hidden if not seen.gone else 0


async def _leave(reader: Reader, of: List, first: bytes) -> None:
    """The suspects from the first of them on."""
    one = lists.entity_id(first, is_number=of.kind is Kind.NUMBERED)
    log.warning("sync_rows_hidden", extra={"list": of.name})
    found = Compared(failures=[{"list": of.name, "id": one, "error": SENTENCE}])
    with db.own(reader.source.conn):
        await known_store.all_cleared(reader.source.conn, reader.progress.sync.id, of.name)
    await reader.keep(Rows(of, (), datetime.now(UTC)), found, marks={"cleared": first.hex()})


async def _settle(reader: Reader, of: List, places: Sequence[bytes]) -> Seen:
    is_number = of.kind is Kind.NUMBERED
    ids = [lists.entity_id(place, is_number=is_number) for place in places]
    missing = await _not_listed(reader, of, ids) if is_number else ids
    asked_at = datetime.now(UTC)
    seen = await _look_at_each(reader, of, missing)
    if seen.gone and not is_number:  # else the list was requested just before
        await reader.asking.page(lists.OF_ENTITY[of.entity], {"limit": 1})
    if seen.living:
        read = Rows(of, seen.living, asked_at, is_last_word=True)
        await reader.take(read)
    with db.own(reader.source.conn):
        known = await known_store.known(
            reader.source.conn,
            reader.company_id,
            of.entity,
            [of.place(one) for one in seen.gone],
        )
    found = comparing.gone(reader.company_id, of, known, await _walk_began(reader))
    found.failures += seen.failures
    marks = {"cleared": places[-1].hex()}
    await reader.keep(Rows(of, (), asked_at), found, cleared=places, marks=marks)
    return seen


async def _walk_began(reader: Reader) -> datetime:
    """The sync's own start: no later than that of any of its walks."""
    started = reader.progress.sync.started_at
    return started if started is not None else reader.progress.began()


async def _not_listed(reader: Reader, of: List, ids: Sequence[str]) -> list[str]:
    """Those that neither the list nor its archive counterpart shows, as far as it answers."""
    missing = list(ids)
    for place in lists.ARCHIVES.get(of.entity, (of,)):
        if missing:
            try:
                shown = await reader.ask(place, missing)
            except Unanswered:
                if not await reader.asking.is_answered(place):
                    raise
                continue  # Pipedrive has no answer for some of these rows
            except PipedriveRefused as refused:
                if refused.status in NOTHING_WORKS or place is lists.OF_ENTITY[of.entity]:
                    raise
                continue  # the company has no such archive
            missing = [one for one in missing if one not in shown]
    return missing


async def _look_at_each(reader: Reader, of: List, ids: Sequence[str]) -> Seen:
    seen = Seen()
    await _look_at(reader, of, ids, seen)
    if not seen.silent:
        return seen
    silence = next(iter(seen.silent.values()))
    if 1 < len(ids) == len(seen.silent) or not await reader.asking.is_answered(of):
        raise silence
    again, seen.silent = list(seen.silent), {}
    await _look_at(reader, of, again, seen)
    seen.failures += [
        {"list": of.name, "id": one, "error": str(why)} for one, why in seen.silent.items()
    ]
    return seen


async def _look_at(reader: Reader, of: List, ids: Sequence[str], seen: Seen) -> None:
    waiting = list(reversed(ids))
    heart.beat(len(ids) / AT_ONCE * DEADLINE_S)

    async def look() -> None:
        while waiting:
            await _look(reader, of, waiting.pop(), seen)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(ids))):
                group.create_task(look())
    except* Exception as failed:  # noqa: BLE001  of several that fail together one speaks for all
        raise failed.exceptions[0] from None


async def _look(reader: Reader, of: List, entity_id: str, seen: Seen) -> None:
    try:
        row = await reader.asking.one(f"{lists.OF_ENTITY[of.entity].path}/{entity_id}")
    except PipedriveRefused as refused:
        if refused.status in NOTHING_WORKS:
            raise
        if refused.status in GONE:
            seen.gone.append(entity_id)
        elif refused.status == HIDDEN:
            seen.hidden += 1
        else:
            seen.failures.append({"list": of.name, "id": entity_id, "error": refused.sentence})
        return
    except Unanswered as silence:
        seen.silent[entity_id] = silence
        return
    _judge(of, entity_id, row, seen)


def _judge(of: List, entity_id: str, row: Any, seen: Seen) -> None:
    try:
        found = rows.read(of.entity, row)
    except Poison as why:
        seen.failures.append({"list": of.name, "id": entity_id, "error": str(why)})
        return
    if found.is_deleted:
        seen.gone.append(entity_id)
    else:
        seen.living.append(row)

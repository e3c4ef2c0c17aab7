"""Rescores contacts: reads their signals, decides, stores and publishes what changed.

Rule 1: source rows are written before the contact's lock is taken, and signals are read after;
        the last to hold the lock sees what everyone before it committed, so the final score is
        that of all rows, whoever wrote them.
Rule 2: a person merged away is locked together with the contact that it counts for, and merges
        are read again after each lock, until nothing is left to lock.
Rule 3: rescoring to the same state writes and publishes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.scoring import history, store
from services.scoring import signals as summing
from services.scoring.absorb import Cause, Touched
from services.scoring.families import Key, families
from services.scoring.score import score
from services.scoring.signals import Signals
from services.scoring.store import PersonSignals, State
from services.scoring.weighing import WEIGHTS_LOCK, Weighing
from services.scoring.weights import Weights
from shared import db, locks, outbox, topics
from shared.observability import RESCORED
from shared.states import ScoreState

CONTACTS_LOCK = 0x53436F6E
NO_SCORE = State()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rescored:
    """A contact whose state differs from the stored one. `old` is null for a contact that is
    stored for the first time.
    """

    key: Key
    old: State | None
    new: State
    is_news: bool
    published: int
    weights_version: int


async def lock(conn: db.Connection, touched: Touched) -> Mapping[Key, list[Key]]:
    """Lock the contacts that the touched persons are or count for, and before them, shared, the
    weights of their companies; return them with all the persons that count for each.
    """
    held: set[Key] = set()
    wanted = set(touched)
    found: Mapping[Key, list[Key]] = {}
    weights = {WEIGHTS_LOCK: {company_id for company_id, _ in touched}}
    while wanted - held:
        await locks.hold_all(conn, {CONTACTS_LOCK: wanted - held}, shared=weights)
        held |= wanted
        found = families(touched, await store.merges(conn, touched))
        wanted = set(found)
    return found


async def rescore(
    conn: db.Connection,
    touched: Touched,
    members: Mapping[Key, list[Key]],
    weighing: Weighing,
    *,
    now: datetime,
    only_due: bool = False,
) -> int:
    """Rescore what `lock` holds; return how many contacts were scored. `now` must be taken after
    the lock, or an earlier instant could overwrite a later one. The causes are of one kind.
    """
    contacts = sorted(touched.keys() | members.keys())
    persons = sorted(touched.keys() | {each for every in members.values() for each in every})
    in_force = await weighing.of(conn, (company_id for company_id, _ in contacts))
    keep = max(each.activity_cap for each in in_force.values())
    rows = await store.signals(conn, persons, keep=keep)
    if only_due:
        contacts = [key for key in contacts if _is_due(rows[key].stored, now)]
    changed = [
        rescored
        for key in contacts
        if (rescored := decide(key, rows, members.get(key, [key]), in_force[key[0]], now=now))
    ]
    if changed:
        causes = {
            each: touched[p] for each, every in members.items() for p in every if p in touched
        }
        await _keep(conn, changed, touched | causes, now)
    RESCORED.labels(next(iter(touched.values())).kind).inc(len(contacts))
    return len(contacts)


def _is_due(stored: State | None, now: datetime) -> bool:
    return (
        stored is not None and stored.next_change_at is not None and stored.next_change_at <= now
    )


def decide(
    key: Key,
    rows: Mapping[Key, PersonSignals],
    members: Sequence[Key],
    weights: Weights,
    *,
    now: datetime,
) -> Rescored | None:
    """A contact's new state; null if it does not change, or its person is not known yet."""
    row = rows[key]
    if not row.is_known:
        return None
    new = NO_SCORE
    if row.profile is not None:
        parts = [rows[each].dealings for each in members]
        dealings = summing.combine(parts, keep=weights.activity_cap)
        result = score(Signals(row.profile, dealings), weights, now=now)
        new = State(result.value, result.points, dealings.last_activity, result.next_change_at)
    if new == row.stored:
        return None
    is_news = _is_news(row.stored or NO_SCORE, new)
    version = max(row.published + 1, (now - EPOCH) // MICROSECOND) if is_news else row.published
    return Rescored(key, row.stored, new, is_news, version, weights.version)


def _is_news(old: State, new: State) -> bool:
    """To consumers: `next_change_at` and deleted contacts are not published."""
    return new.score is not None and (
        old.score != new.score
        or old.points != new.points
        or old.last_contacted != new.last_contacted
    )


async def _keep(
    conn: db.Connection, changed: Sequence[Rescored], causes: Mapping[Key, Cause], now: datetime
) -> None:
    added = [(e.key, e.new, e.published) for e in changed if e.old is None]
    kept = [(e.key, e.new, e.published) for e in changed if e.old is not None]
    if added:
        await store.add_contacts(conn, added)
    if kept:
        await store.update_contacts(conn, kept)
    news = [each for each in changed if each.is_news]
    await outbox.put(conn, topics.SCORES, [_told(each) for each in news])
    rows = [_change(e, causes[e.key], now) for e in news if _score(e.old) != e.new.score]
    if rows:
        await history.record(conn, rows)


def _score(state: State | None) -> int | None:
    return state.score if state else None


def _told(rescored: Rescored) -> ScoreState:
    new = rescored.new
    return ScoreState(
        version=rescored.published,
        company_id=rescored.key[0],
        person_id=rescored.key[1],
        score=new.score or 0,
        points=new.points or {},
        last_contacted=new.last_contacted,
    )


def _change(rescored: Rescored, cause: Cause, now: datetime) -> tuple[object, ...]:
    return (
        *rescored.key,
        now,
        rescored.published,
        _score(rescored.old),
        rescored.new.score,
        rescored.new.points,
        cause.kind,
        cause.topic,
        cause.event_id,
        rescored.weights_version,
    )

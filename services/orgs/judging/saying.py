"""People's verdicts about organizations: merged, not the same, undone.

Rule 1: a verdict is in the log before it is in the store; verdicts of a tenant are taken one at a
        time, so each sees the effect of the previous ones and is newer, whatever the clocks say.
Rule 2: who decided, when, why, and the matcher's opinion are kept with it.
Rule 3: a verdict's id follows from the request. A user who was told that it failed, although it
        is in the log, and who retries, repeats that verdict and does not add another.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from services.orgs import applying, names, organization_store, record_store, rows, weighing
from services.orgs.judging import parting, review_store, verdict_store
from services.orgs.judging.parting import Part
from services.orgs.judging.review_store import Review
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching.weights import MATCHER_VERSION
from services.orgs.organization_store import Organization
from services.orgs.weighing import Prospect, Sides
from shared import db, locks, topics
from shared.auth import Identity
from shared.events import Action, OrganizationVerdict, OrganizationVerdictChange, Source, dump
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record
from shared.web import Refused

JUDGE_LOCK_SPACE = 0x4F04
STAYING = "They stay together where others were separated from them."
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Merged:
    """`merge_id` is null for a dry run."""

    merge_id: UUID | None
    sides: Sides
    prospect: Prospect
    survivor: Organization | None


@dataclass(frozen=True, slots=True)
class Decided:
    """`organization` is where the winner's records are."""

    verdict_id: UUID
    organization: Organization


@dataclass(frozen=True, slots=True)
class Undone:
    """`sides` are the present organizations of what is left of each side."""

    verdict: Verdict
    sides: Sequence[frozenset[UUID]]

    @property
    def homes(self) -> frozenset[UUID]:
        return frozenset().union(*self.sides)


class Judge:
    def __init__(self, pool: db.Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def merge(
        self,
        asker: Identity,
        winner_id: UUID,
        loser_id: UUID,
        *,
        dry_run: bool,
        reason: str | None,
    ) -> Merged:
        """Raises:
        Refused: one of the organizations does not exist, or they are already one.
        Unavailable: a dependency is away; retrying is safe.
        """
        async with self._turn(asker) as conn:
            winner = await weighing.organization(conn, asker.company_id, winner_id)
            loser = await weighing.organization(conn, asker.company_id, loser_id)
            saying = await _saying(conn, asker, "merge", winner_id, loser_id, reason)
            is_one = winner.organization_id == loser.organization_id
            if saying.stands and is_one and not dry_run:
                sides, prospect = await weighing.brought(conn, winner, saying.stands)
                return Merged(saying.stands.verdict_id, sides, prospect, winner)
            sides = await weighing.sides(
                conn, (winner, winner.organization_id), (loser, loser.organization_id)
            )
            prospect = await weighing.prospect(conn, sides)
            if dry_run:
                return Merged(None, sides, prospect, None)
            said = _said("same", asker, sides, reason=reason)
            await self._tell(conn, asker, saying.verdict_id, said)
            survivor = await organization_store.by_any_id(
                conn, asker.company_id, winner.organization_id
            )
            return Merged(saying.verdict_id, sides, prospect, survivor)

    async def decide(
        self, asker: Identity, review_id: UUID, decision: Literal["merge", "separate"]
    ) -> Decided:
        """Raises:
        Refused: there is no such question, or it is no longer open.
        Unavailable: a dependency is away; retrying is safe.
        """
        async with self._turn(asker) as conn:
            review = await review_store.one(conn, asker.company_id, review_id)
            saying = await _saying(conn, asker, "review", review_id, decision)
            if review is None and saying.stands:
                winner_id = saying.stands.field("left_id")
                winner = await weighing.organization(conn, asker.company_id, winner_id)
                return Decided(saying.stands.verdict_id, winner)
            if review is None:
                raise await _moot(conn, asker.company_id, review_id)
            sides = await _sides(conn, asker.company_id, review, decision)
            kind: Literal["same", "distinct"] = "same" if decision == "merge" else "distinct"
            said = _said(kind, asker, sides, review=review)
            await self._tell(conn, asker, saying.verdict_id, said)
            found = await organization_store.by_any_id(
                conn, asker.company_id, sides.winner.organization_id
            )
            return Decided(saying.verdict_id, found or sides.winner)

    async def separate(
        self,
        asker: Identity,
        organization_id: UUID,
        records: Collection[UUID],
        *,
        dry_run: bool,
        reason: str | None,
    ) -> tuple[UUID | None, Sequence[Part]]:
        """Separate records from the rest of their organization; a dry run has no id.

        Raises:
            Refused: they can't be separated.
            Unavailable: a dependency is away; retrying is safe.
        """
        async with self._turn(asker) as conn:
            home = await weighing.organization(conn, asker.company_id, organization_id)
            asked = ("separate", organization_id, *sorted(records), reason)
            saying = await _saying(conn, asker, *asked)
            if saying.stands and not dry_run:
                brought = await parting.brought(conn, saying.stands)
                if brought:
                    return saying.stands.verdict_id, brought
            found = await parting.of(conn, home, frozenset(records))
            if dry_run:
                return None, found.parts
            for side in found.held:
                one = Sides(home, home, side, frozenset(), found.block)
                told = _said("same", asker, one, reason=STAYING)
                staying = names.verdict_id(
                    asker.company_id, f"{saying.verdict_id}\n{min(side)}", 0
                )
                await self._tell(conn, asker, staying, told)
            two = Sides(home, home, found.named, found.rest, found.block)
            said = _said("distinct", asker, two, reason=reason)
            await self._tell(conn, asker, saying.verdict_id, said)
            return saying.verdict_id, found.parts

    async def undo(self, asker: Identity, merge_id: UUID) -> Undone:
        """Undo a merge.

        Raises:
            Refused: there is no such merge, or it is already undone.
            Unavailable: a dependency is away; retrying is safe.
        """
        company_id = asker.company_id
        async with self._turn(asker) as conn:
            verdict = await verdict_store.one(conn, company_id, merge_id)
            if verdict is None or verdict.field("decision") != "same":
                raise Refused(404, "not_found", "There is no such merge.")
            if not verdict.is_withdrawn:
                said = OrganizationVerdict(withdrawn=True, withdrawn_by=asker.user_id)
                await self._tell(conn, asker, merge_id, said, Action.CHANGE)
            elif verdict.field("withdrawn_by") != asker.user_id:
                raise Refused(409, "already_undone", "This merge is already undone.")
            keys = [(company_id, ref) for ref in verdict.refs]
            after = await record_store.load(conn, keys)
            homes = {ref: record.home for (_, ref), record in after.items() if record.home}
            return Undone(
                verdict,
                [frozenset(homes[ref] for ref in side if ref in homes) for side in verdict.sides],
            )

    @asynccontextmanager
    async def _turn(self, asker: Identity) -> AsyncIterator[db.Connection]:
        """A transaction in which nobody else of the company records a verdict."""
        # One connection per company: the others wait here, and leave the rest to everybody else.
        turn = self._turns.setdefault(asker.company_id, asyncio.Lock())
        with db.errors():
            async with (
                asyncio.timeout(DEADLINE_S),
                turn,
                self._pool.acquire() as conn,
                conn.transaction(),
            ):
                await locks.hold(conn, JUDGE_LOCK_SPACE, [asker.company_id])
                yield conn

    async def _tell(
        self,
        conn: db.Connection,
        asker: Identity,
        verdict_id: UUID,
        said: OrganizationVerdict,
        action: Action = Action.CREATE,
    ) -> None:
        now = datetime.now(UTC)
        newest = await verdict_store.newest_version(conn, asker.company_id)
        change = OrganizationVerdictChange(
            event_id=str(uuid4()),
            company_id=asker.company_id,
            entity="organization_verdict",
            entity_id=str(verdict_id),
            action=action,
            version=max(time.time_ns() // 1000, newest + 1),
            occurred_at=now,
            received_at=now,
            source=Source.APP,
            data=said,
        )
        topic = topics.APP_ORGANIZATION_VERDICTS.name
        await self._publisher.publish([Record(topic, change.key, dump(change))])
        await applying.apply(conn, [Received(topic, change)])


@dataclass(frozen=True, slots=True)
class Saying:
    """The id of the verdict that a request makes now. `stands` is the user's last verdict by the
    same request, unless it was withdrawn.
    """

    verdict_id: UUID
    stands: Verdict | None


async def _saying(conn: db.Connection, asker: Identity, *asked: object) -> Saying:
    request = "\n".join(map(str, (asker.user_id, *asked)))
    last: Verdict | None = None
    times = 0
    while True:
        verdict_id = names.verdict_id(asker.company_id, request, times)
        found = await verdict_store.one(conn, asker.company_id, verdict_id)
        if found is None:
            return Saying(verdict_id, None if last is None or last.is_withdrawn else last)
        last = found
        times += 1


async def _sides(
    conn: db.Connection, company_id: int, review: Review, decision: Literal["merge", "separate"]
) -> Sides:
    if review.was is None:
        winner, loser = await _suggested(conn, company_id, review)
        return await weighing.sides(conn, winner, loser)
    # If it is still the same, nothing moves. If it is another one, it leaves the records that only
    # verdicts about what it was hold it together with.
    home = await weighing.organization(conn, company_id, review.one_home)
    block, by_word = await weighing.held(conn, home, review.one)
    leaving = by_word if decision == "separate" else frozenset[UUID]()
    return Sides(home, home, frozenset({review.one}), leaving, block)


async def _suggested(
    conn: db.Connection, company_id: int, review: Review
) -> list[tuple[Organization, UUID]]:
    """The sides of a question, each with its record, the suggested winner first."""
    pairs = ((review.one_home, review.one), (review.other_home, review.other))
    found = [(await weighing.organization(conn, company_id, home), ref) for home, ref in pairs]
    return sorted(found, key=lambda pair: weighing.standing(pair[0]))


async def _moot(conn: db.Connection, company_id: int, review_id: UUID) -> Refused:
    if await review_store.was_decided(conn, company_id, review_id):
        return Refused(409, "already_decided", "This question is already decided.")
    return Refused(404, "not_found", "There is no such question, or it is no longer open.")


def _said(
    decision: Literal["same", "distinct"],
    asker: Identity,
    sides: Sides,
    *,
    reason: str | None = None,
    review: Review | None = None,
) -> OrganizationVerdict:
    said = OrganizationVerdict(
        decision=decision,
        left_records=tuple(map(rows.plain, sorted(sides.winning))),
        right_records=tuple(map(rows.plain, sorted(sides.losing))),
        left_id=rows.plain(sides.winner.organization_id),
        right_id=rows.plain(sides.loser.organization_id),
        decided_by=asker.user_id,
        matcher_version=MATCHER_VERSION,
    )
    told = {} if reason is None else {"reason": reason}
    if review is not None:
        answered = {"score": review.score, "review_id": rows.plain(review.review_id)}
        return said.model_copy(update={**told, **answered})
    return said.model_copy(update=told)

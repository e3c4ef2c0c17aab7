"""A scoring store on real Postgres, told facts directly, under a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson

from services.scoring.consumer import Scorer
from services.scoring.main import MIGRATIONS, SERVICE
from shared import db, ids, service, topics
from shared.errors import Unavailable
from shared.events import (
    Action,
    ActivityChange,
    Change,
    DealChange,
    LeadChange,
    PersonChange,
    ScoringWeights,
    ScoringWeightsChange,
    Source,
    parse,
)
from shared.kafka.consumer import Received
from shared.states import ScoreState
from shared.tenants import Tenants

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
COMPANY = 11
OTHER_COMPANY = 12
TOPICS: dict[str, tuple[topics.Topic, type[Change[Any]]]] = {
    "person": (topics.PERSONS, PersonChange),
    "activity": (topics.ACTIVITIES, ActivityChange),
    "deal": (topics.DEALS, DealChange),
    "lead": (topics.LEADS, LeadChange),
}
ROWS = {
    "persons": "SELECT * FROM persons ORDER BY company_id, person_id",
    "activities": "SELECT * FROM activities ORDER BY company_id, activity_id",
    "deals": "SELECT * FROM deals ORDER BY company_id, deal_id",
    "leads": "SELECT * FROM leads ORDER BY company_id, lead_id",
    "contacts": "SELECT * FROM contacts ORDER BY company_id, person_id",
    "decisions": "SELECT * FROM decided_weights ORDER BY company_id, version, event_id",
}


class Store:
    def __init__(self, pool: db.Pool, tenants: Tenants) -> None:
        self.pool = pool
        self.tenants = tenants
        self.now = NOW
        self.scorer = Scorer(tenants, self.clock)

    def clock(self) -> datetime:
        return self.now

    async def told(self, *facts: Received) -> None:
        """In one batch, once more where another worker was in the way, as the consumer does."""
        while True:
            try:
                with db.errors():
                    async with self.pool.acquire() as conn, conn.transaction():
                        await self.scorer.apply(conn, facts)
                    return
            except Unavailable as outage:
                if "deadlock" not in str(outage):
                    raise

    async def told_all(self, batches: Iterable[Sequence[Received]]) -> None:
        for batch in batches:
            await self.told(*batch)

    async def forget(self) -> None:
        tables = (
            "persons, activities, deals, leads, contacts, score_changes, outbox, "
            "decided_weights, currency_rates, rescorings"
        )
        await self.pool.execute(f"TRUNCATE {tables}")

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        """All rows but what is said to grow: the published versions."""
        found = {}
        for name, statement in ROWS.items():
            rows = [dict(row) for row in await self.pool.fetch(statement)]
            found[name] = [{k: v for k, v in row.items() if k != "published"} for row in rows]
        return found

    async def score(self, person_id: int, company_id: int = COMPANY) -> int | None:
        """Null: no contact, or one without a score."""
        query = "SELECT score FROM contacts WHERE company_id = $1 AND contact_id = $2"
        contact_id = ids.contact(company_id, person_id)
        score: int | None = await self.pool.fetchval(query, company_id, contact_id)
        return score

    async def points(self, person_id: int) -> dict[str, int] | None:
        query = "SELECT points FROM contacts WHERE company_id = $1 AND person_id = $2"
        points: dict[str, int] | None = await self.pool.fetchval(query, COMPANY, person_id)
        return points

    async def published(self) -> dict[tuple[int, int], ScoreState]:
        """What waits in the outbox; nothing relays here."""
        states = [
            parse(ScoreState, row["payload"])
            for row in await self.pool.fetch("SELECT payload FROM outbox")
        ]
        return {(state.company_id, state.person_id): state for state in states}

    async def history(self, person_id: int) -> list[tuple[int | None, int, str, str | None]]:
        query = (
            "SELECT old_score, new_score, cause, event_id FROM score_changes "
            "WHERE company_id = $1 AND person_id = $2 ORDER BY version"
        )
        return [tuple(row) for row in await self.pool.fetch(query, COMPANY, person_id)]


@asynccontextmanager
async def store(
    database_url: str,
    folder: Path,
    settings: Sequence[dict[str, Any]] = (),
    schema: str = SERVICE,
) -> AsyncIterator[Store]:
    file = folder / "tenants.json"
    file.write_bytes(orjson.dumps(list(settings)))
    await service.prepare_store(database_url, schema, MIGRATIONS, asyncio.Event())
    async with db.pool(database_url, schema, size=6, durable=False) as pool:
        yield Store(pool, Tenants(file))


def fact(
    entity: str,
    entity_id: object,
    version: int,
    data: dict[str, Any] | None,
    **envelope: Any,
) -> Received:
    """A change; a delete when there is no data."""
    topic, model = TOPICS[entity]
    action = Action.DELETE if data is None else Action.CHANGE
    made = {
        "event_id": f"{entity}-{entity_id}-{version}",
        "company_id": COMPANY,
        "entity": entity,
        "entity_id": str(entity_id),
        "action": action,
        "version": version,
        "occurred_at": NOW,
        "received_at": NOW,
        "source": Source.WEBHOOK_V2,
        "data": data,
    }
    return Received(topic.name, model.model_validate(made | envelope))


def decision(version: int, weights: dict[str, Any], **envelope: Any) -> Received:
    """What an admin decided about weights."""
    made = {
        "event_id": f"weights-{version}",
        "company_id": COMPANY,
        "entity": "scoring_weights",
        "entity_id": "weights",
        "action": Action.CHANGE,
        "version": version,
        "occurred_at": NOW,
        "received_at": NOW,
        "source": Source.APP,
        "data": ScoringWeights(weights=weights, user_id=5, reason=f"Reason {version}"),
    }
    change = ScoringWeightsChange.model_validate(made | envelope)
    return Received(topics.APP_SCORING_WEIGHTS.name, change)


def batches(facts: Sequence[Received], seed: int) -> list[list[Received]]:
    """The same facts in another order, some of them twice, in batches of many sizes."""
    rng = Random(seed)  # noqa: S311  repeatable, not secret
    told = [*facts, *rng.sample(facts, len(facts) // 5)]
    rng.shuffle(told)
    cut = []
    while told:
        size = rng.choice((1, 2, 5, 20, 100))
        cut.append(told[:size])
        told = told[size:]
    return cut

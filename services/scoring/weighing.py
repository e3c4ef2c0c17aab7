"""The weights in force, and earlier decisions: stored append-only, read at every use.

Rule 1: a company's weights are those of its newest decision, by stamp; without one, the default.
Rule 2: a rescoring reads the weights after locking the contacts, and shares the lock on its
        companies' weights; a rescoring of a whole company takes that lock exclusively before it
        looks for contacts. So either a contact's rescoring sees a decision, or the rescoring that
        the decision requests gets to that contact afterwards, even to new ones.
Rule 3: a decision is adopted once, however often it arrives, and requests a rescoring only if it
        is the newest.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import ValidationError

from services.scoring import rescoring_store, weight_table, weights
from services.scoring.weights import Rates, Weights
from shared import db
from shared.errors import Poison
from shared.events import Action, ScoringWeights, ScoringWeightsChange
from shared.tenants import Tenants

IN_FORCE = """
SELECT asked.company_id, newest.version, newest.event_id, newest.weights, kept.rates,
       (SELECT count(*) FROM decided_weights AS each
         WHERE each.company_id = asked.company_id) AS decided
  FROM unnest($1::bigint[]) AS asked (company_id)
  LEFT JOIN LATERAL (
       SELECT version, event_id, weights
         FROM decided_weights
        WHERE company_id = asked.company_id
        ORDER BY version DESC, event_id DESC
        LIMIT 1
       ) AS newest ON true
  LEFT JOIN currency_rates AS kept ON kept.company_id = asked.company_id
"""

ADOPT = """
INSERT INTO decided_weights (company_id, version, event_id, decided_at, user_id, reason, weights)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::bigint[],
                     $6::text[], $7::jsonb[])
    ON CONFLICT DO NOTHING
RETURNING company_id, version, event_id
"""

DECISIONS = """
SELECT * FROM (
    SELECT version, event_id, decided_at, user_id, reason, weights,
           row_number() OVER (ORDER BY version, event_id) + 1 AS number
      FROM decided_weights
     WHERE company_id = $1
    ) AS decisions
 WHERE number < $2
 ORDER BY number DESC
 LIMIT $3
"""

RATES = "SELECT company_id, rates FROM currency_rates"

KEEP_RATES = """
INSERT INTO currency_rates (company_id, rates) VALUES ($1, $2)
    ON CONFLICT (company_id) DO UPDATE SET rates = EXCLUDED.rates
"""

ALL = 2**31 - 1
WEIGHTS_LOCK = 0x53576774


class Weighing:
    """Reads companies' weights; caches what it computed from them."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._made: dict[int, tuple[Any, Weights]] = {}

    async def of(self, conn: db.Connection, companies: Iterable[int]) -> Mapping[int, Weights]:
        rows = await conn.fetch(IN_FORCE, sorted(set(companies)))
        return {row["company_id"]: self._weights(row) for row in rows}

    def _weights(self, row: asyncpg.Record) -> Weights:
        company_id = row["company_id"]
        tenant = self._tenants.get(company_id)
        basis = (row["version"], row["event_id"], row["decided"], row["rates"], tenant)
        made = self._made.get(company_id)
        # Tenants are compared by identity, not by content: that is faster, and sufficient.
        if made is not None and made[0][:4] == basis[:4] and made[0][4] is tenant:
            return made[1]
        rates = weights.rates_of(tenant) if row["rates"] is None else rates_from(row["rates"])
        table = weight_table.read(row["weights"] or {})
        found = table.weights(row["decided"] + 1, rates)
        self._made[company_id] = (basis, found)
        return found


def rates_from(stored: Mapping[str, Any]) -> Rates:
    return Rates(stored["currency"], stored["worth"])


def rates_to(rates: Rates) -> dict[str, Any]:
    return {"currency": rates.currency, "worth": dict(rates.worth)}


async def adopt(
    conn: db.Connection, decisions: Sequence[ScoringWeightsChange], now: datetime
) -> None:
    """Store the decisions, and request the rescorings that follow.

    Raises:
        Poison: a decision is not a valid table of weights.
    """
    if not decisions:
        return
    adopted = await conn.fetch(ADOPT, *db.columns([_columns(each) for each in decisions], 7))
    if not adopted:
        return
    fresh = {(row["company_id"], row["version"], row["event_id"]) for row in adopted}
    newest = await conn.fetch(IN_FORCE, sorted({company_id for company_id, *_ in fresh}))
    changed = [
        row["company_id"]
        for row in newest
        if (row["company_id"], row["version"], row["event_id"]) in fresh
    ]
    await rescoring_store.ask(conn, changed, "weights", now)


def _columns(change: ScoringWeightsChange) -> tuple[Any, ...]:
    if change.action is Action.DELETE or change.data is None:
        raise Poison("a decision about weights cannot be deleted")
    decided: ScoringWeights = change.data
    try:
        table = weight_table.read(decided.weights)
    except ValidationError as error:
        raise Poison(f"invalid weights: {weight_table.sentences(error)[0]}") from error
    return (
        change.company_id,
        change.version,
        change.event_id,
        change.occurred_at,
        decided.user_id,
        decided.reason.replace("\x00", ""),
        table.stored(),
    )


async def decisions(
    conn: db.Connection, company_id: int, *, limit: int, before: int = ALL
) -> list[asyncpg.Record]:
    """Newest first; `before` is a decision's number."""
    rows: list[asyncpg.Record] = await conn.fetch(DECISIONS, company_id, before, limit)
    return rows


async def take_over_rates(
    conn: db.Connection, told: Mapping[int, Rates], now: datetime
) -> list[int]:
    """Store the rates; companies whose rates have changed are rescored, and returned."""
    kept = {row["company_id"]: rates_from(row["rates"]) for row in await conn.fetch(RATES)}
    changed = [each for each in sorted(told) if told[each] != kept.get(each, Rates())]
    for company_id in changed:
        await conn.execute(KEEP_RATES, company_id, rates_to(told[company_id]))
    await rescoring_store.ask(conn, changed, "rates", now)
    return changed

"""Applies facts to the organization store inside the caller's transaction.

Rule 1: a tenant's store has one writer at a time, so every batch sees the whole of what others
        wrote, and counts stay exact without finer locks.
Rule 2: the end state depends on the newest version of each record, person and activity alone.
"""

import time
from collections.abc import Sequence
from typing import Any

from services.orgs import folding, linking, placing, summing
from services.orgs.effects import Effects
from shared import db, locks, topics
from shared.kafka.consumer import Received

TENANT_LOCK_SPACE = 0x4F01


async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
    records = folding.records(_of(facts, topics.ORGANIZATIONS))
    made = folding.made_records(_of(facts, topics.APP_ORGANIZATIONS))
    verdicts = folding.verdicts(_of(facts, topics.APP_ORGANIZATION_VERDICTS))
    contacts = folding.contacts(_of(facts, topics.PERSONS))
    activities = folding.activities(_of(facts, topics.ACTIVITIES))
    await locks.hold(conn, TENANT_LOCK_SPACE, {fact.company_id for _, fact in facts})
    effects = Effects(now_us=time.time_ns() // 1000)
    if records or made:
        await placing.place(conn, {**records, **made}, effects)
    if verdicts:
        await placing.judge(conn, verdicts, effects)
    if contacts:
        await linking.link(conn, contacts, effects)
    if activities:
        await linking.record_activities(conn, activities, effects)
    await linking.refresh_moments(conn, effects)
    await summing.settle(conn, effects)


def _of(facts: Sequence[Received], topic: topics.Topic) -> list[Any]:
    return [fact for name, fact in facts if name == topic.name]

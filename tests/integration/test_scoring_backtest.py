"""A signal planted in a real log is found, as strong as it was planted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from devstack import postgres
from services.scoring.backtest import scratch
from services.scoring.main import MIGRATIONS
from shared.events import dump
from shared.kafka.client import ensure_topics
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record
from shared.settings import Settings
from shared.topics import ACTIVITIES, DEALS, LEADS, PERSONS
from tests.support.cluster import ROOT
from tests.support.infra import Infra
from tests.support.scoring_store import OTHER_COMPANY, fact

pytestmark = pytest.mark.integration

BEGAN = datetime(2026, 1, 1, 9, tzinfo=UTC)
WARM, COLD = range(1, 201), range(201, 401)
RICH = {
    "emails": [{"value": "a@b.example"}],
    "phones": [{"value": "1"}],
    "org_id": 3,
    "job_title": "Boss",
}


def on(day: int, *said: Any, **envelope: Any) -> Received:
    at = BEGAN + timedelta(days=day)
    return fact(*said, occurred_at=at, **envelope)


def planted() -> Iterator[Received]:
    """Of 200 at 7 points 120 are followed by an outcome, of 200 without any 40."""
    for number in WARM:
        yield on(0, "person", number, 1, RICH)
        meeting = {"type": "meeting", "due_date": "2026-01-10", "person_id": number}
        yield on(0, "activity", number, 1, meeting)
    for number in COLD:
        yield on(0, "person", number, 1, {})
    for number in (*WARM[:100], *COLD[:40]):
        yield on(20, "deal", number, 1, {"person_id": number, "status": "open"})
        yield on(40, "deal", number, 2, {"status": "won", "won_time": BEGAN + timedelta(days=40)})
        yield on(70, "deal", number, 3, {"status": "won", "title": "Told again"})
    for number in WARM[100:120]:
        done = {"done": True, "marked_as_done_time": BEGAN + timedelta(days=41)}
        yield on(41, "activity", number, 2, done)


def no_outcomes() -> Iterator[Received]:
    """Won and lost again, won and deleted, won too late, won by another company's contact."""
    for number in (398, 399, 400):
        yield on(40, "deal", number, 1, {"person_id": number, "status": "won"})
    yield on(42, "deal", 398, 2, {"status": "lost"})
    yield on(42, "deal", 399, 2, None)
    yield on(130, "deal", 400, 2, {"won_time": BEGAN + timedelta(days=130)})
    yield on(0, "person", 1, 1, {}, company_id=OTHER_COMPANY)
    other = {"person_id": 390, "status": "won"}
    yield on(40, "deal", 900, 1, other, company_id=OTHER_COMPANY)


async def test_a_planted_signal_is_found(
    infra: Infra, database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=3
    )
    await ensure_topics(settings, (PERSONS, ACTIVITIES, DEALS, LEADS))
    facts = [*no_outcomes(), *planted()]
    async with Publisher(settings, deadline_s=20) as publisher:
        records = [Record(each.topic, each.fact.key, dump(each.fact)) for each in facts]
        broken = Record(PERSONS.name, b"11:77", b'{"event_id": 1}')
        await publisher.publish([*reversed(records), broken, *records[:50]])
    (tmp_path / "weights.json").write_text("{}")
    (tmp_path / "tenants.json").write_text("[]")
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": infra.kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "SCORING_DATABASE_URL": database_url,
        "TENANTS_FILE": str(tmp_path / "tenants.json"),
    }
    words = "backtest --company 11 --weights weights.json --from 2026-01-02 --to 2026-01-11"

    ran = subprocess.run(  # noqa: ASYNC221  nothing else runs meanwhile
        [sys.executable, "-m", "services.scoring", *words.split(), "--out", "picture.svg"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert figure(r"AUC +([\d.]+)", ran.stdout) == pytest.approx(0.7083, abs=0.001)
    assert figure(r"lift, top 10 % ([\d.]+)", ran.stdout) == pytest.approx(1.5, abs=0.01)
    assert "100 deals" not in ran.stdout
    assert "140 deals won, 20 meetings held" in ran.stdout
    assert re.search(r"^0-3 +2,000 +400 +20\.0% +0\.50$", ran.stdout, re.MULTILINE)
    assert re.search(r"^7-10 +2,000 +1,200 +60\.0% +1\.50$", ran.stdout, re.MULTILINE)
    assert "1 records that cannot be read" in ran.stdout
    assert "replaying" in ran.stderr
    assert "100%" in ran.stderr
    ET.parse(tmp_path / "picture.svg")  # noqa: S314  our own
    left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'scoring_%'"
    assert postgres.ask(database_url, left) == "0"


async def test_who_works_on_what_was_read_is_not_taken_for_frozen(database_url: str) -> None:
    async with scratch.store(database_url, MIGRATIONS) as pool:
        waits = "SELECT current_setting('idle_in_transaction_session_timeout')"

        async with scratch.amid(pool) as conn:
            within = await conn.fetchval(waits)

        assert within == "0"
        assert await pool.fetchval(waits) != within


def figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])

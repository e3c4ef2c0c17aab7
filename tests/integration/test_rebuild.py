"""What a rebuild holds while it builds, and what it brings over."""

import asyncio
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from services.query.main import MIGRATIONS
from services.query.rebuild import CARRY
from shared import db, service, topics
from shared.kafka.client import ensure_topics
from shared.rebuild.command import Alone, _connected, run
from shared.rebuild.plan import Plan
from shared.settings import StoreSettings
from tests.support.infra import Infra
from tests.support.proxy import Proxy, before, through
from tests.support.waiting import until

pytestmark = pytest.mark.integration

CUT = """
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE application_name = 'my500-noted-rebuild'
"""


class Unheard(Proxy):
    """Loses the answer to the last statement of a switch."""

    is_renamed = False
    has_lost = False

    async def _heard(self, chunk: bytes) -> None:
        self.is_renamed |= b'RENAME TO "noted"' in chunk
        if self.is_renamed and not self.has_lost and b"COMMIT\0" in chunk:
            self.has_lost = True
            raise ConnectionResetError


async def apply(*_: object) -> None:
    raise AssertionError("nothing is built")


async def test_a_rebuild_that_freezes_amid_the_switch_lets_the_tables_go(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(db.ABANDONED, "idle_in_transaction_session_timeout", "300")
    plan = Plan("noted", database_url, StoreSettings(), tmp_path, [], apply)
    conn = await asyncpg.connect(database_url)
    try:
        await conn.execute("CREATE TABLE held ()")
        async with _connected(plan) as frozen:
            await frozen.execute("BEGIN")
            await frozen.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")

            rows = await conn.fetch("SELECT * FROM held", timeout=30)
    finally:
        await conn.close()
    assert rows == []


async def test_a_rebuild_without_its_topics_ends_and_names_them(
    infra: Infra, database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = StoreSettings(kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix)
    await ensure_topics(settings, [topics.NOTES])
    log = [topics.NOTES, topics.DEALS]
    plan = Plan("noted", database_url, settings, tmp_path, log, apply)
    chosen = Namespace(restart=False, drop_old=False, only_drop_old=False)

    async with asyncio.timeout(60):
        with pytest.raises(SystemExit, match=f"there is no topic {topic_prefix}pipedrive.deals"):
            await run(plan, chosen)


async def test_a_rebuild_that_never_heard_of_its_switch_finds_out_and_goes_on(
    infra: Infra,
    database_url: str,
    topic_prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = StoreSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=1,
    )
    await ensure_topics(settings, [topics.NOTES])
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    chosen = Namespace(restart=False, drop_old=True, only_drop_old=False)
    async with before(database_url, Unheard) as link, asyncio.timeout(60):
        dsn = through(database_url, link)
        await run(Plan("noted", dsn, settings, migrations, [topics.NOTES], apply), chosen)

    assert link.has_lost
    said = capsys.readouterr().out.splitlines()[-2:]
    assert said[0].startswith("noted: switched after 0 records")
    assert said[0].endswith("how long others waited is not known")
    assert said[1] == "noted: noted_old dropped"


async def test_a_rebuild_stays_alone_through_a_restart_of_postgres(
    database_url: str, tmp_path: Path
) -> None:
    plan = Plan("noted", database_url, StoreSettings(), tmp_path, [], apply)
    first, second = Alone(plan), Alone(plan)
    conn = await asyncpg.connect(database_url)
    try:
        await first.hold()
        with pytest.raises(SystemExit, match="another rebuild of noted is running"):
            await second.hold()

        await conn.execute(CUT)

        async def is_held_again() -> bool:
            if not await holds(first):
                return False
            if not await holds(second):
                return True
            second.let_go()  # the first had not heard of its loss
            return False

        await until(is_held_again)
        first.let_go()
        await until(lambda: holds(second))
    finally:
        first.let_go()
        second.let_go()
        await conn.close()


async def test_who_was_revoked_in_the_store_that_is_replaced_is_revoked_in_the_one_that_follows(
    database_url: str,
) -> None:
    for schema in ("query", "query_next"):
        await service.prepare_store(database_url, schema, MIGRATIONS, asyncio.Event())
    early, late = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    conn = await asyncpg.connect(database_url)
    try:
        for schema, rows in {
            "query": [
                (1, 7, "a", late, late),
                (1, 7, "b", early, None),
                (1, 7, "c", early, early),
            ],
            "query_next": [(1, 7, "b", early, late), (1, 7, "c", late, late)],
        }.items():
            await conn.copy_records_to_table("revocations", schema_name=schema, records=rows)

        for statement in CARRY:
            await conn.execute(statement)

        found = await conn.fetch("SELECT * FROM query_next.revocations ORDER BY token_id")
    finally:
        await conn.close()
    assert [tuple(row) for row in found] == [
        (1, 7, "a", late, late),
        (1, 7, "b", early, None),
        (1, 7, "c", late, late),
    ]


async def holds(alone: Alone) -> bool:
    try:
        await alone.hold()
    except SystemExit:
        return False
    return True

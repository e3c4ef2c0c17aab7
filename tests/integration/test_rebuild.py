"""What a rebuild holds while it builds."""

from pathlib import Path

import asyncpg
import pytest

from shared.rebuild.command import Alone
from shared.rebuild.plan import Plan
from shared.settings import StoreSettings
from tests.support.waiting import until

pytestmark = pytest.mark.integration

CUT = """
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE application_name = 'my500-noted-rebuild'
"""


async def test_a_rebuild_stays_alone_through_a_restart_of_postgres(
    database_url: str, tmp_path: Path
) -> None:
    async def apply(*_: object) -> None:
        raise AssertionError("nothing is built")

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


async def holds(alone: Alone) -> bool:
    try:
        await alone.hold()
    except SystemExit:
        return False
    return True

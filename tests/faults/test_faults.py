"""Whatever breaks, however often: nothing acked is lost, nothing happens twice, no page is old."""

from pathlib import Path

import pytest

from tests.faults import scenario
from tests.support import infra as servers
from tests.support.infra import Infra

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SEEDS = (1, 2, 3, 4)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_end_is_as_if_nothing_had_broken(
    seed: int,
    killable: Infra,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    chosen = scenario.drawn(seed)

    with servers.new_database(killable) as database_url:
        outcome = await scenario.run(
            chosen, killable, database_url, servers.empty_redis(killable), topic_prefix, tmp_path
        )

    assert outcome.events > scenario.EVENTS
    assert outcome.looks > 0
    assert outcome.is_clean, outcome

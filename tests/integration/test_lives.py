"""Whatever happens in a company, in whatever order it arrives: the pages are what they must be."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import lives
from tests.support.lives import Stores

pytestmark = pytest.mark.integration

EVENTS = 600
SEEDS = range(1, 13)


@pytest.fixture
async def held(database_url: str, tmp_path: Path) -> AsyncIterator[Stores]:
    async with lives.stores(database_url, tmp_path, SEEDS) as held:
        yield held


async def test_the_pages_are_those_of_the_model(held: Stores) -> None:
    found = {seed: await lives.lived(held, seed, EVENTS) for seed in SEEDS}

    assert found == dict.fromkeys(SEEDS, "")

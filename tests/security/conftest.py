from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.security.world import OURS, World, assert_silent, live, world


@pytest.fixture(scope="session")
async def running(infra: Any, tmp_path_factory: Any) -> AsyncIterator[World]:
    """Services that one company has lived in; what a test does to them must not matter."""
    async with world(infra, tmp_path_factory.mktemp("security")) as made:
        await live(made, OURS)
        yield made
        assert_silent(made.logs(), made)

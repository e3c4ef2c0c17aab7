from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.security.world import World, lived_in


@pytest.fixture(scope="session")
async def running(infra: Any, tmp_path_factory: Any) -> AsyncIterator[World]:
    """Shared by tests to which it does not matter what others do to it."""
    async with lived_in(infra, tmp_path_factory.mktemp("security")) as made:
        yield made

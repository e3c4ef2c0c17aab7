"""What one user sends in ever new spellings does not stay in a service's memory."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from tests.security.test_tokens import address
from tests.security.world import OURS, SERVICES, USER, World, bearer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WARM: Final = 50
TIMES: Final = 600
PADDING: Final = 50_000
MOST_BYTES: Final = TIMES * PADDING * 2 // 3


def resident_bytes(world: World, service: str) -> int:
    status = Path(f"/proc/{world.services[service].process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def kept_bytes(world: World, service: str, ask: Callable[[int], Awaitable[None]]) -> int:
    """What the service has grown by since the first were asked, which it grows by once."""
    for n in range(WARM):
        await ask(n)
    before = resident_bytes(world, service)
    for n in range(WARM, WARM + TIMES):
        await ask(n)
    return resident_bytes(world, service) - before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_token_whose_header_is_spelled_in_many_ways_is_kept_once(
    running: World, service: str
) -> None:
    route = next(
        each
        for each in running.routes()
        if (each.service, each.method, each.auth) == (service, "get", "bearer")
    )
    url = running.url(service, address(route))
    token = bearer(OURS, USER)["Authorization"].removeprefix("Bearer ")

    async def ask(n: int) -> None:
        headers = {"Authorization": f"Bearer{' ' * (PADDING + n)}{token}"}
        async with running.http.get(url, headers=headers) as response:
            assert response.status not in (401, 431)

    assert await kept_bytes(running, service, ask) < MOST_BYTES


@pytest.mark.parametrize("path", ["/api/my-500?limit=1", "/api/my-500/search?q=a"])
async def test_a_query_string_that_only_looks_like_another_is_not_kept(
    running: World, path: str
) -> None:
    async def ask(n: int) -> None:
        url = running.url("query", path + "&" * (PADDING + n))
        async with running.http.get(url, headers=bearer(OURS, USER)) as response:
            assert response.status == 200

    assert await kept_bytes(running, "query", ask) < MOST_BYTES

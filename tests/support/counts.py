"""What this process, and a Redis, have counted."""

from prometheus_client import REGISTRY
from redis.asyncio import Redis


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def calls(client: Redis, command: str) -> int:
    """Of a command, in lower case, by whomever."""
    return int((await client.info("commandstats"))[f"cmdstat_{command}"]["calls"])


async def have_called(client: Redis, command: str, times: int) -> bool:
    return await calls(client, command) >= times

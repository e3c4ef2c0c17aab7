"""What Postgres did for a statement as the services run it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from shared import db


class Plan(NamedTuple):
    statement: str
    root: dict[str, Any]

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return list(_nodes(self.root))

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def blocks(self) -> int:
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    @property
    def through(self) -> int:
        """The rows that all parts of it gave or threw away."""
        told = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
        nodes = self.nodes
        return int(sum(n.get(name, 0) * n["Actual Loops"] for n in nodes for name in told))

    def rows(self, kind: str) -> int:
        """The most rows that a node of this kind gave, over all its loops."""
        found = [
            n["Actual Rows"] * n["Actual Loops"] for n in self.nodes if n["Node Type"] == kind
        ]
        return int(max(found, default=0))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


Read = Callable[[db.Connection], Awaitable[Any]]

EXPLAINED = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}


async def plans(pool: db.Pool, read: Read) -> list[Plan]:
    """Of all statements that the read runs, as they ran: EXPLAIN of a statement would plan it for
    its parameters, which the service does not.
    """
    said: list[str] = []
    async with pool.acquire() as conn:
        await conn.execute("LOAD 'auto_explain'")
        await read(conn)  # the driver asks about types the first time

        def hear(_: Any, message: Any) -> None:
            said.append(message.message)

        conn.add_log_listener(hear)
        async with conn.transaction():
            for name, value in EXPLAINED.items():
                await conn.execute(f"SET LOCAL {name} = '{value}'")
            await read(conn)
        conn.remove_log_listener(hear)
        await asyncio.sleep(0)  # the last is told in the loop's next turn
    told = [json.loads(text.partition("plan:")[2]) for text in said if "plan:" in text]
    found = [Plan(each["Query Text"], each["Plan"]) for each in told]
    ran = [each for each in found if "SET LOCAL" not in each.statement]
    assert ran
    return ran

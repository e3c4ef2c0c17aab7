"""Contacts per second through the whole pipe: from the first event to the last row of the pages.

`python -m bench.pipe [--by log|webhooks] [--projectors 2] [--contacts 60000]
[--organizations 6000] [--rounds 3]`
By webhooks, wrk delivers each body once over 64 connections; by the log, the same bodies are
normalized and published in rounds of 500, as an import does. The clock stops when every contact
is in the read model with its organization and its score. Prints contacts/s and each stage's share
of the CPU time.
"""

import argparse
import asyncio
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import orjson

from bench import bodies, stage
from services.ingest import payload
from shared import events
from shared.kafka.publisher import Publisher
from shared.kafka.rounds import Record
from shared.settings import Settings
from shared.topics import OF_ENTITY
from tests.support.cluster import Cluster, Instance
from tests.support.waiting import until

LONGEST_S = 180
ROUND = 500

DONE = """
SELECT count(*) FILTER (WHERE name IS NOT NULL) AS persons,
       count(*) FILTER (WHERE organization_id IS NOT NULL) AS linked,
       count(*) FILTER (WHERE score_version > 0) AS scored
  FROM query.contacts
"""

# wrk makes one request in advance, to inspect it. Stopping aborts requests in flight, so the last
# body is sent a few more times until all have certainly arrived.
SCRIPT = """
local bodies = {}
for line in io.lines("%(file)s") do bodies[#bodies + 1] = line end
local asked, answered = 0, 0
wrk.method = "POST"
wrk.headers["Authorization"] = "%(authorization)s"
wrk.headers["Content-Type"] = "application/json"
request = function()
  asked = asked + 1
  return wrk.format(nil, nil, nil, bodies[math.max(1, math.min(asked - 1, #bodies))])
end
response = function()
  answered = answered + 1
  if answered >= #bodies + 256 then wrk.thread:stop() end
end
"""


async def deliver(folder: Path, ingest: Instance, contents: list[bytes]) -> None:
    """Every body once, over 64 connections, until cancelled: wrk sits out its time."""
    file, script = folder / "bodies.jsonl", folder / "bodies.lua"
    file.write_bytes(b"\n".join(contents) + b"\n")
    header = aiohttp.encode_basic_auth(*stage.HOOK)
    script.write_text(SCRIPT % {"file": file, "authorization": header})
    wrk = await asyncio.create_subprocess_exec(
        "wrk", "-t1", "-c64", f"-d{LONGEST_S}s", "-s", str(script),
        f"{ingest.url}/webhooks/pipedrive",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wrk.wait()
    finally:
        if wrk.returncode is None:
            wrk.terminate()


async def publish(running: Cluster, contents: list[bytes]) -> None:
    """Every body once, into the log, as one ingest process would."""
    settings = Settings(kafka_bootstrap_servers=running.environment["KAFKA_BOOTSTRAP_SERVERS"])
    async with Publisher(settings, deadline_s=30) as publisher:
        for start in range(0, len(contents), ROUND):
            changes = (
                payload.change(content, company_id=bodies.COMPANY, now=datetime.now(UTC))
                for content in contents[start : start + ROUND]
            )
            await publisher.publish(
                [Record(OF_ENTITY[c.entity].name, c.key, events.dump(c)) for c in changes]
            )


async def visible(dsn: str, contacts: int) -> None:
    conn = await asyncpg.connect(dsn)

    async def is_done() -> bool:
        row = await conn.fetchrow(DONE)
        return row is not None and set(row.values()) == {contacts}

    try:
        await until(is_done, LONGEST_S, every_s=0.5)
    finally:
        await conn.close()


async def one_round(contacts: int, organizations: int, *, by: str, projectors: int) -> float:
    async with stage.cluster() as (running, stack):
        services = await running.start_all()
        for _ in range(projectors - 1):
            await running.ready(running.start("query", "projector"))
        contents = [
            orjson.dumps(body)
            for body in bodies.contacts(contacts, organizations=organizations, owners=50)
        ]
        before = stage.cpu_seconds(running, stack)
        began = time.perf_counter()
        sending = (
            publish(running, contents)
            if by == "log"
            else deliver(running.folder, services["ingest"], contents)
        )
        delivery = asyncio.create_task(sending)
        await visible(running.environment["DATABASE_URL"], contacts)
        seconds = time.perf_counter() - began
        delivery.cancel()
        stage.say(f"{contacts / seconds:.0f} contacts/s ({seconds:.1f} s); CPU by stage:")
        stage.say(stage.shares(before, stage.cpu_seconds(running, stack)))
        return contacts / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by", choices=["log", "webhooks"], default="log")
    parser.add_argument("--projectors", type=int, default=2)
    parser.add_argument("--contacts", type=int, default=60_000)
    parser.add_argument("--organizations", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    rates = [
        asyncio.run(
            one_round(
                chosen.contacts, chosen.organizations, by=chosen.by, projectors=chosen.projectors
            )
        )
        for _ in range(chosen.rounds)
    ]
    stage.say(f"median of {chosen.rounds}: {statistics.median(rates):.0f} contacts/s")


if __name__ == "__main__":
    main()

"""How long autocomplete takes among 100,000 organizations of one company, by kind of term.

    python -m bench.autocomplete [--names 100000] [--rounds 3] [DATABASE_URL]

Without a URL it reads DATABASE_URL. It creates a schema of its own, fills it through the worker's
code, measures before and after Postgres has vacuumed, and drops the schema.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import uvloop

from bench import stage
from bench.stage import percentile
from services.orgs.main import MIGRATIONS
from services.orgs.searching import index as searching_index
from services.orgs.searching import store as searching_store
from services.orgs.searching import terms as searching_terms
from services.orgs.searching import typeahead
from services.orgs.searching.index import Name
from services.orgs.searching.store import Pools
from shared import db

SCHEMA = "orgs_autocomplete"
COMPANY, OTHER = 1, 2
BATCH = 500
LIMIT = 10
ONSETS = (*"bcdfghjklmnprstvwz", "br", "ch", "dr", "fl", "gr", "kl", "pr", "qu", "st", "tr")
VOWELS = (*"aeiou", "ai", "ou")
CODAS = ["", "", "l", "n", "r", "s", "t", "ck", "mb", "x"]
FIELDS = ["International", "Logistics", "Bank", "Consulting", "Industries", "Software", "Capital",
          "Engineering", "Media", "Pharma", "Energy", "Foods", "Group", "Holding"]  # fmt: skip
FORMS = ["Inc.", "Inc.", "Inc.", "Ltd.", "Ltd.", "GmbH", "S.A.", "AG", ""]


def names(count: int, seed: int = 5) -> Iterator[str]:
    """Words of a few thousand stems, a field of business that many share, a legal form."""
    rng = random.Random(seed)
    stems = ["".join(syllable(rng) for _ in range(rng.choice((2, 2, 3)))) for _ in range(30_000)]
    for _ in range(count):
        stem = stems[int(len(stems) * rng.random() ** 2)]
        second = rng.choice(stems) if rng.random() < 0.4 else rng.choice(FIELDS)
        yield " ".join(filter(None, (stem.title(), second.title(), rng.choice(FORMS))))


def syllable(rng: random.Random) -> str:
    return f"{rng.choice(ONSETS)}{rng.choice(VOWELS)}{rng.choice(CODAS)}"


def terms(known: Sequence[str], rng: random.Random, count: int) -> dict[str, list[str]]:
    def words() -> list[str]:
        return rng.choice(known).lower().split()

    def misspelt(word: str) -> str:
        at = rng.randrange(1, max(2, len(word) - 1))
        return rng.choice((word[:at] + word[at + 1 :], word[:at] + "y" + word[at:],
                           word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
                           if at < len(word) else word))  # fmt: skip

    def absent() -> str:
        return "".join(rng.choice("qxzjwvy") for _ in range(8))

    kinds: dict[str, Callable[[], str]] = {
        "1 letter": lambda: words()[0][:1],
        "2 letters": lambda: words()[0][:2],
        "prefix of 3": lambda: words()[0][:3],
        "prefix of 5": lambda: words()[0][:5],
        "whole name": lambda: " ".join(words()),
        "words turned round": lambda: " ".join(reversed(words()[:2])),
        "very common": lambda: rng.choice(("inc", "international", "in", "ltd", "group", "i")),
        "two common": lambda: rng.choice(("bank inc", "inc international", "gr lt", "s a")),
        "common, absent": lambda: "inc " + absent(),
        "infix": lambda: words()[0][1:5],
        "infix, common": lambda: rng.choice(("ation", "ank", "oup", "stri", "tional inc")),
        "misspelt": lambda: misspelt(words()[0]),
        "misspelt, 2 words": lambda: " ".join(misspelt(w) for w in words()[:2]),
        "absent": absent,
        "absent, 6 words": lambda: " ".join(absent() for _ in range(6)),
    }
    return {kind: [make() for _ in range(count)] for kind, make in kinds.items()}


async def fill(dsn: str, count: int) -> list[str]:
    """The same names for two companies: the other's must not slow anything down."""
    known = list(names(count))
    async with db.pool(dsn, SCHEMA, size=1, durable=False) as pool:
        for company_id in (OTHER, COMPANY):
            began = time.perf_counter()
            for start in range(0, count, BATCH):
                async with pool.acquire() as conn, conn.transaction():
                    await add(conn, company_id, start, known[start : start + BATCH])
            each = (time.perf_counter() - began) / count * 1e6
            print(f"company {company_id}: {count:,} organizations, {each:.0f} µs each")
    return known


async def add(conn: db.Connection, company_id: int, start: int, some: Sequence[str]) -> None:
    rows = [
        Name(company_id, UUID(int=company_id << 64 | n), name, int(random.paretovariate(1)) - 1)
        for n, name in enumerate(some, start)
    ]
    await conn.executemany(
        "INSERT INTO organizations (company_id, organization_id, name, contact_count, deleted, "
        "published) VALUES ($1, $2, $3, $4, false, 1)",
        [row[:4] for row in rows],
    )
    await searching_index.keep(conn, rows, before=[])


async def timed(pools: Pools, text: str) -> tuple[float, int]:
    """Milliseconds, and how many were found."""
    began = time.perf_counter()
    found = await typeahead.ours(pools, COMPANY, searching_terms.of_query(text), LIMIT)
    return (time.perf_counter() - began) * 1000, len(found)


async def measure(pools: Pools, asked: dict[str, list[str]], rounds: int) -> None:
    print(f"{'':20}{'p50':>8}{'p95':>8}{'max':>8}   ms; first time each: p95, max; hits")
    everything: list[float] = []
    for kind, of_kind in asked.items():
        turns = [[await timed(pools, text) for text in of_kind] for _ in range(rounds)]
        first = [took for took, _ in turns[0]]
        all_times = [took for turn in turns for took, _ in turn]
        hits = sum(found > 0 for turn in turns for _, found in turn)
        everything += all_times
        print(
            f"{kind:20}{percentile(all_times, 0.5):8.1f}{percentile(all_times, 0.95):8.1f}"
            f"{max(all_times):8.1f}   {percentile(first, 0.95):.1f}, {max(first):.1f}; "
            f"{hits / len(all_times):.0%}"
        )
    print(f"{'all':20}{percentile(everything, 0.5):8.1f}{percentile(everything, 0.95):8.1f}"
          f"{max(everything):8.1f}")  # fmt: skip


async def main(dsn: str, count: int, rounds: int) -> None:
    async with stage.scratch_schema(dsn, SCHEMA, MIGRATIONS) as conn:
        known = await fill(dsn, count)
        for when in ("just filled", "vacuumed"):
            if when == "vacuumed":
                for table in (
                    "search_names",
                    "search_words",
                    "search_dictionary",
                    "organizations",
                ):
                    await conn.execute(f"VACUUM ANALYZE {SCHEMA}.{table}")
            async with (
                db.pool(dsn, SCHEMA, size=4, durable=False) as pool,
                searching_store.pools(dsn, SCHEMA, pool, size=4) as pools,
            ):
                print(f"\n{when}; first query of a new connection: ", end="")
                print(f"{(await timed(pools, known[7]))[0]:.1f} ms")
                await measure(pools, terms(known, random.Random(3), 60), rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(given.dsn, given.names, given.rounds))

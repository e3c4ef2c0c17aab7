"""Many companies' lives through the three stores, without faults: a second each.

python -m tests.faults.lives [--first 1] [--count 1000] [--events 600]
Says of which the pages are not the reference model's, and where.
"""

import argparse
import asyncio
import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.__main__ import say
from tests.support import infra as servers
from tests.support import lives

TOLD_EVERY = 100


async def run(database_url: str, seeds: range, events: int) -> list[int]:
    """The seeds of those that went wrong."""
    wrong: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        async with lives.stores(database_url, Path(folder), seeds) as held:
            for number, seed in enumerate(seeds, 1):
                try:
                    found = await lives.lived(held, seed, events)
                except Exception as error:  # noqa: BLE001  the next seed is tried all the same
                    found = "".join(traceback.format_exception(error))
                if found:
                    wrong.append(seed)
                    say(f"seed {seed}: {found}")
                if number % TOLD_EVERY == 0:
                    say(f"{number} lives, wrong: {wrong or 'none'}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.faults.lives", description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1000, help="how many seeds")
    parser.add_argument("--events", type=int, default=600, help="of each life")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.count)
    with servers.own_servers() as infra, servers.new_database(infra) as database_url:
        wrong = asyncio.run(run(database_url, seeds, given.events))
    say(f"{given.count} lives of {given.events} events, wrong: {wrong or 'none'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

"""Whether a search finds the right contact: recall and rank, compared with a scan of every row.

    python -m bench.search_quality [--database bench_small] [--scale 0.04] [--each 30]

390 texts by default: 30 of each kind, made from a row that is then the right one (`bench.
search_texts`). Two measures. *Meant*: among all texts, how often that contact is on the first
page (recall at 20) and the mean of 1/rank (MRR); where several contacts fit a text equally well
("Anna"), any of them is as good, so the rank counts those that fit better. *Complete*: compared
with an independent scan of every contact, by plain string operations that share no code with the
index, how many of those that certainly fit are hits, and how many hits certainly fit.
"""

import argparse
import asyncio
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import mean

import orjson
import uvloop

from bench import data
from bench.search import USER, sample
from bench.search_texts import DOMAIN, Row, Typed, typed
from services.query.main import SCHEMA
from services.query.reading import snapshot
from services.query.searching import reading
from services.query.searching.request import SearchQuery
from shared import db

PAGE = 20
EVERYTHING = """
SELECT c.contact_id::text, c.name, email, phone, o.name AS organization
  FROM contacts AS c
  LEFT JOIN organizations AS o USING (company_id, organization_id)
 WHERE c.company_id = $1 AND c.owner_id = $2 AND c.listed
"""
END = "$"
LATIN = str.maketrans({"ß": "ss", "ø": "o", "đ": "d", "ł": "l", "ı": "i", "þ": "th", "æ": "ae"})  # noqa: RUF001 - letters of names


@dataclass(slots=True)
class Score:
    places: list[int | None] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)

    def line(self) -> str:
        found = [1 / place for place in self.places if place is not None]
        on_page = sum(place is not None for place in self.places) / max(1, len(self.places))
        reciprocal = sum(found) / max(1, len(self.places))
        complete = f"{mean(self.recalls):8.3f}" if self.recalls else "       -"
        return f"{on_page:10.3f} {reciprocal:8.3f} {complete}   {len(self.places):4}"


def plain(text: str | None) -> str:
    """Lower case without accents; letters of other alphabets stay."""
    lowered = unicodedata.normalize("NFKD", (text or "").lower().translate(LATIN))
    return "".join(c for c in lowered if not unicodedata.combining(c) and c not in "'’")  # noqa: RUF001 - both apostrophes


def row_words(row: Row) -> list[str]:
    """Those of its texts, and the end of its address from the @ on."""
    found = asked_words(" ".join(part or "" for part in (row.name, row.email, row.organization)))
    return [*found, _whole_domain(row.email)] if row.email else found


def _whole_domain(address: str) -> str:
    return "@" + plain(address).rpartition("@")[2] + END


def surely_fits(found: Sequence[str], asked: Sequence[str], *, inside: bool) -> bool:
    """Every word that was meant begins a word of the row, or is inside one."""
    if inside:
        return all(any(each in word for word in found) for each in asked)
    return all(any(word.startswith(each) for word in found) for each in asked)


def asked_words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in plain(text)).split()


async def hits(pool: db.Pool, text: str, limit: int = 500) -> tuple[list[str], int]:
    request = SearchQuery(q=text[:200], limit=limit).request()
    async with snapshot(pool) as conn:
        read = await reading.search(conn, USER, request)
    page = orjson.loads(read.body + b"}")["data"]
    return [each["id"] for each in page["contacts"]], page["pagination"]["total"]


async def judge(
    pool: db.Pool, each: Typed, rows: Mapping[str, Sequence[str]]
) -> tuple[int | None, float | None]:
    """The rank of the right contact or an equal one; and how many certain fits are hits."""
    found, total = await hits(pool, each.text)
    place = found.index(each.meant) + 1 if each.meant in found else None
    recall = None
    if each.kind != "phone fragment":
        inside = each.kind == "infix"
        asked = asked_words(each.rightly)
        if each.kind == DOMAIN:
            asked = [_whole_domain(each.rightly)]
        fitting = {c for c, held in rows.items() if surely_fits(held, asked, inside=inside)}
        if fitting:
            shown = len(fitting & set(found)) / min(len(fitting), len(found) or 1)
            recall = min(shown, total / len(fitting), 1.0)
            if each.meant in fitting and place is not None:
                ahead = sum(contact_id not in fitting for contact_id in found[: place - 1])
                place = 1 + ahead
    return (place if place is not None and place <= PAGE else None), recall


async def main(database: str, factor: float, each: int) -> None:
    scale = data.Scale.of(factor)
    dsn = await data.make(database, scale, keep=True)
    async with db.pool(dsn, SCHEMA, size=2) as pool:
        everybody = [Row(*row) for row in await pool.fetch(EVERYTHING, *USER)]
        rows = {row.contact_id: row_words(row) for row in everybody}
        texts = typed(await sample(pool, scale, Random(21), 1000), each, Random(22))
        scores: defaultdict[str, Score] = defaultdict(Score)
        absent = [text for text in texts if text.kind == "absent"]
        for text in texts:
            if text.meant is None:
                continue
            place, recall = await judge(pool, text, rows)
            for score in (scores[text.kind], scores["all"]):
                score.places.append(place)
                if recall is not None:
                    score.recalls.append(recall)
        found_nothing = sum([(await hits(pool, text.text))[1] == 0 for text in absent])
    print(f"{len(rows):,} contacts\n{'':18} recall@{PAGE}      MRR complete  texts")
    for kind, score in sorted(scores.items(), key=lambda item: item[0] == "all"):
        print(f"{kind:18} {score.line()}")
    print(f"{'absent':18} {found_nothing} of {len(absent)} found nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="bench_small")
    parser.add_argument("--scale", type=float, default=0.04)
    parser.add_argument("--each", type=int, default=30)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments.database, arguments.scale, arguments.each))

"""The link task: names arrive, some known under another spelling, some new.

Labels first. A cluster whose rows show two websites or two countries is dropped: such labels
are more often wrong than right. Clusters that share a normalized name and do not contradict each
other are one: no matcher could tell their names apart, and issuers with two classes of shares are
cut so.

Then roles, by hash. Of the clusters with several spellings a third are absent from the store and
one of their spellings arrives as new; of the others one spelling is stored and the rest arrive as
known. Of the clusters with one spelling enough arrive as new to equal the number of the known, and
the others are stored. Thresholds are fitted on the arrivals of one half of the clusters and
reported on those of the other; the store holds both halves, as a tenant's would.
"""

import csv
import gzip
import hashlib
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import dropwhile
from pathlib import Path
from typing import Literal

from services.orgs import names
from services.orgs.matching import domain, place, profile
from services.orgs.matching.profile import Profile, Stated

ABSENT_SHARE = 1 / 3
GZIPPED = b"\x1f\x8b"
_MARKS_OF_UTF_16 = (BOM_UTF16_LE, BOM_UTF16_BE)
LONGEST_FIELD = 2**31 - 1
"""The most that csv accepts on every platform; its default is 131,072 characters."""

Fact = tuple[str, str]
"""Kind of a fact, website or country, and its value."""


@dataclass(frozen=True, slots=True)
class Row:
    cluster: str
    stated: Stated


@dataclass(frozen=True, slots=True)
class Arrival:
    row: Row
    profile: Profile
    known: bool
    fitting: bool


@dataclass(frozen=True, slots=True)
class Task:
    """`stored` have their cluster as their organization."""

    stored: Sequence[tuple[Row, Profile]]
    arrivals: Sequence[Arrival]
    dropped: int
    united: int


def read(path: Path, *, key: str | None = None) -> list[Row]:
    """The rows of a CSV file, gzipped or not. Without `key` each row is a cluster of its own, like
    a row that names none. Columns may be in any order, and separated by other characters.
    """
    csv.field_size_limit(LONGEST_FIELD)
    lines = list(dropwhile(str.isspace, StringIO(_text(path), newline="")))
    mark = _mark(lines[0] if lines else "")
    are_letters = mark == "\t" and _has_stray_quotes(lines)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if are_letters else csv.QUOTE_MINIMAL
    table = csv.DictReader(lines, delimiter=mark, quoting=quoting)
    columns = table.fieldnames = [column.strip().lower() for column in table.fieldnames or ()]
    missing = [c for c in (key, "name") if c and c not in columns]
    if missing:
        raise SystemExit(f"{path} has no column {missing[0]!r}; it has {columns}")
    return [
        Row((cells[key] or "").strip() or alone if key else alone, _stated(cells))
        for alone, cells in ((f"row {number}", cells) for number, cells in enumerate(table))
        if (cells["name"] or "").strip()
    ]


def says_more(rows: Sequence[Row]) -> bool:
    """Whether any row has more than a name."""
    return any(map(_said, rows))


def names_only(rows: Sequence[Row]) -> list[Row]:
    return [replace(row, stated=Stated(row.stated.name)) for row in rows]


def build(rows: Sequence[Row], *, columns: str, raw_labels: bool = False, draw: str = "") -> Task:
    """`raw_labels`: neither drop nor unite a cluster; another `draw` gives other roles."""
    clusters: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        clusters[row.cluster].append(row)
    united = dict(clusters) if raw_labels else _united(clusters)
    sound = {
        cluster: _spellings(members, draw)
        for cluster, members in united.items()
        if raw_labels or not contradicts(members)
    }
    if columns == "names":
        sound = {cluster: names_only(spellings) for cluster, spellings in sound.items()}
    absent = _absent(sound, draw)
    stored: list[tuple[Row, Profile]] = []
    arrivals: list[Arrival] = []
    for cluster, (first, *others) in sound.items():
        fitting = is_fitting(cluster)
        if cluster in absent:
            arrivals.append(Arrival(first, profiled(first, ""), known=False, fitting=fitting))
        else:
            stored.append((first, profiled(first, cluster)))
            arrivals += [Arrival(o, profiled(o, ""), known=True, fitting=fitting) for o in others]
    return Task(stored, arrivals, len(united) - len(sound), len(clusters) - len(united))


def _united(clusters: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Clusters joined by shared normalized names, under the lowest of their labels."""
    leads: dict[str, str] = {}

    def lead(cluster: str) -> str:
        while (above := leads.get(cluster, cluster)) != cluster:
            cluster = above
        return cluster

    known = {cluster: _facts(members) for cluster, members in clusters.items()}
    holders: dict[object, str] = {}
    for cluster, members in sorted(clusters.items()):
        own = known[cluster]
        for name in sorted({names.normalized(row.stated.name) for row in members} - {""}):
            for key in (name, (name, own)):
                one, other = sorted((lead(holders.setdefault(key, cluster)), lead(cluster)))
                whole = known[one] | known[other]
                if one != other and not _contradict(whole):
                    leads[other] = one
                    known[one] = whole
    united: dict[str, list[Row]] = defaultdict(list)
    for cluster, members in clusters.items():
        under = lead(cluster)
        united[under] += [replace(row, cluster=under) for row in members]
    return dict(united)


def _spellings(members: Sequence[Row], draw: str) -> list[Row]:
    """One row per spelling, the most informative, in an order that depends on the names alone."""
    found: dict[str, Row] = {}
    for row in members:
        name = (row.stated.name or "").strip()
        found[name] = max((r for r in (found.get(name), row) if r), key=_said)
    return [found[name] for name in sorted(found, key=lambda name: share(f"spelling{draw}", name))]


def _absent(sound: Mapping[str, Sequence[Row]], draw: str) -> set[str]:
    several = {cluster for cluster, spellings in sound.items() if len(spellings) > 1}
    absent = {cluster for cluster in several if share(f"absent{draw}", cluster) < ABSENT_SHARE}
    known = sum(len(sound[cluster]) - 1 for cluster in several - absent)
    single = sorted(sound.keys() - several, key=lambda cluster: share(f"absent{draw}", cluster))
    return absent | set(single[: max(0, min(known - len(absent), len(single) // 2))])


def is_fitting(cluster: str) -> bool:
    return share("half", cluster) < 1 / 2


def share(salt: str, text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    digest = hashlib.blake2b(f"{salt}:{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def profiled(row: Row, organization: str) -> Profile:
    return profile.of(row.stated, ref=row.stated.name or "", organization=organization)


def contradicts(rows: Sequence[Row]) -> bool:
    """Two websites or two countries under one label: the label is more often wrong than not."""
    return _contradict(_facts(rows))


def _facts(rows: Sequence[Row]) -> frozenset[Fact]:
    websites = {("website", domain.of(row.stated.website)) for row in rows}
    countries = {("country", place.country(row.stated.country)) for row in rows}
    return frozenset((kind, told) for kind, told in websites | countries if told)


def _contradict(facts: frozenset[Fact]) -> bool:
    return len(facts) > len({kind for kind, _ in facts})


def _said(row: Row) -> int:
    stated = row.stated
    return sum(map(bool, (stated.website, stated.country, stated.postcode, stated.city)))


def _stated(cells: dict[str, str]) -> Stated:
    return Stated(
        cells["name"],
        website=cells.get("website"),
        country=cells.get("country"),
        postcode=cells.get("zipcode"),
        city=cells.get("city"),
    )


def _mark(header: str) -> str:
    return max(",;\t", key=header.count)


def _has_stray_quotes(lines: Sequence[str]) -> bool:
    """Whether a quote that begins a field does not end it: then quotes are letters like others,
    as tabs need none. Taken for a mark it would swallow the lines up to the next.
    """
    try:
        for line in lines:
            list(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return True
    return False


def _text(path: Path) -> str:
    """In UTF-8, or as spreadsheets save it: in UTF-16 with its mark, or in Windows-1252."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIPPED) else data
    except (OSError, EOFError, zlib.error) as error:
        raise SystemExit(f"{path} can't be read: {error}") from None
    if data.startswith(_MARKS_OF_UTF_16):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")

"""What has been pushed, kept on disk so that a second run continues where the first one stopped.

Rule 1: changes up to `settled` have been delivered or given up; those up to `begun` may have been.
Rule 2: a live change's time is fixed by the run that first reaches its number, so a repeated
        push repeats the very same body.
"""

from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from devstack.pipedrive.world import Sizes

FILE = "pushed.json"


class AnotherCompany(Exception):
    """The state folder belongs to a run with another company, seed or size."""


@dataclass(frozen=True, slots=True)
class Segment:
    """From the change of this number on, live changes come from `start` on at `rate` a second."""

    number: int
    start: datetime
    rate: float


@dataclass(frozen=True, slots=True)
class Identity:
    """What the changes are a function of, with the epoch."""

    company_id: int
    seed: int
    sizes: Sizes


@dataclass(slots=True)
class Progress:
    identity: Identity
    epoch: datetime
    settled: int = 0
    begun: int = 0
    segments: list[Segment] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)

    def start_live(self, now: datetime, rate: float) -> None:
        """Numbers that an earlier run may have sent keep that run's times."""
        self.segments.append(Segment(self.begun + 1, now, rate))

    def clock(self, number: int) -> datetime:
        at = bisect_right(self.segments, number, key=lambda one: one.number) - 1
        segment = self.segments[max(at, 0)]
        return segment.start + timedelta(seconds=(number - segment.number) / segment.rate)

    def skip(self, number: int) -> None:
        """Changes up to this one are never sent."""
        if self.begun < number:
            self.begun = self.settled = number

    def begin(self, number: int) -> None:
        self.begun = max(self.begun, number)
        self._open.add(number)

    def settle(self, number: int) -> None:
        self._open.discard(number)
        self.settled = min(self._open) - 1 if self._open else self.begun


def load(folder: Path | None, identity: Identity, now: datetime) -> Progress:
    file = folder / FILE if folder else None
    if file is None or not file.exists():
        return Progress(identity, now.astimezone(UTC).replace(microsecond=0))
    kept = orjson.loads(file.read_bytes())
    if kept["identity"] != asdict(identity):
        raise AnotherCompany(
            f"{file} was made with {kept['identity']}, not with {asdict(identity)}: "
            "use the same arguments or another --state folder"
        )
    segments = [
        Segment(one["number"], _time(one["start"]), one["rate"]) for one in kept["segments"]
    ]
    return Progress(identity, _time(kept["epoch"]), kept["settled"], kept["begun"], segments)


def save(folder: Path | None, progress: Progress) -> None:
    """Replaced as a whole: a kill in between leaves the older file."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {
        "identity": asdict(progress.identity),
        "epoch": progress.epoch,
        "settled": progress.settled,
        "begun": progress.begun,
        "segments": [asdict(one) for one in progress.segments],
    }
    draft = folder / f"{FILE}.new"
    draft.write_bytes(orjson.dumps(kept))
    draft.replace(folder / FILE)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)

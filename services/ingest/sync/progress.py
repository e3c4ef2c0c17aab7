"""How far a synchronisation has come, as stored in its row.

Rule: what was published is marked after Kafka has acked it. Resuming from a mark may read again
what was already published, and finds that it is not news.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from services.ingest.sync.lists import List
from services.ingest.sync.steps import Step
from services.ingest.sync.sync_store import Sync

MOST_ERRORS: Final = 100
OF_A_STEP: Final = frozenset({"step", "began", "rounds", "anew"})
"""The parts of a mark that do not depend on how far the step is."""
WHOLE: Final = ""
"""In place of a row's id."""


@dataclass(slots=True)
class Progress:
    """`mark` is about the current step only."""

    sync: Sync

    @property
    def step(self) -> str | None:
        return self.sync.mark.get("step")

    def begin(self, step: Step, at: datetime) -> None:
        """A resumed step keeps its mark, and its start time."""
        if self.step != step.name:
            self._mark({"step": step.name, "began": at.isoformat()})

    def began(self) -> datetime:
        return datetime.fromisoformat(self.sync.mark["began"])

    def mark(self, name: str) -> Any:
        return self.sync.mark.get(name)

    def note(self, **marks: Any) -> None:
        self._mark({**self.sync.mark, **marks})

    def start_over(self, of: List) -> None:
        """Read a list from its beginning, though part of it has been read."""
        self._mark({name: self.sync.mark[name] for name in OF_A_STEP & self.sync.mark.keys()})
        self.count(of, read=-self.sync.counts.get(of.name, {}).get("read", 0))

    def in_vain(self, before: Mapping[str, Any]) -> None:
        """End a round of tries that began at this mark."""
        rounds = self.rounds if self.sync.mark == before else 0
        self.note(rounds=rounds + 1)

    @property
    def rounds(self) -> int:
        """In how many successive rounds the step made no progress."""
        return int(self.mark("rounds") or 0)

    @property
    def gets_on(self) -> bool:
        """Whether the step has reached a place from which it would resume."""
        return not self.sync.mark.keys() <= OF_A_STEP

    def hold(self) -> None:
        """Keep the position for the next sync to resume from (see `sync_store.take_over`)."""
        if self.step is not None:
            self.note(held=True)

    def spend(self, tokens: int) -> None:
        self.sync = replace(self.sync, tokens=self.sync.tokens + tokens)

    def count(self, of: List, **more: int) -> None:
        counts = dict.fromkeys(("read", "changed", "failed"), 0) | self.sync.counts.get(
            of.name, {}
        )
        for name, number in more.items():
            counts[name] = counts[name] + number
        self.sync = replace(self.sync, counts={**self.sync.counts, of.name: counts})

    def expect(self, of: List, total: int) -> None:
        """`total` may be an estimate until the list has been read."""
        self.count(of)
        counts = {**self.sync.counts[of.name], "total": total}
        self.sync = replace(self.sync, counts={**self.sync.counts, of.name: counts})

    def fail(self, errors: list[dict[str, str]]) -> None:
        """Only the first are kept; all are counted."""
        kept = (self.sync.errors + errors)[:MOST_ERRORS]
        self.sync = replace(self.sync, errors=kept)

    def refuse(self, of: List, sentence: str) -> None:
        """The whole list. It is recorded before the rows, so that it is always kept."""
        error = {"list": of.name, "id": WHOLE, "error": sentence}
        self.sync = replace(self.sync, errors=[error, *self.sync.errors][:MOST_ERRORS])
        self.count(of, failed=1)

    @property
    def refused(self) -> set[str]:
        """The names of such lists."""
        return {error["list"] for error in self.sync.errors if error["id"] == WHOLE}

    def last_refusal(self) -> str:
        """What was said of the last refused list."""
        return next(error["error"] for error in self.sync.errors if error["id"] == WHOLE)

    def changed(self) -> int:
        return sum(of["changed"] for of in self.sync.counts.values())

    def _mark(self, mark: dict[str, Any]) -> None:
        self.sync = replace(self.sync, mark=mark)

"""What was written through the API, kept on disk: all other changes are a function of the seed,
these are not.

Rule: a line is whole or it is the last one; a torn last line was never answered.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from devstack.pipedrive.changes import Change

FILE = "written.jsonl"


class Journal:
    """Without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / FILE if folder else None

    def read(self) -> Iterator[Change]:
        if self._file is None or not self._file.exists():
            return
        for line in self._file.read_bytes().splitlines():
            try:
                kept: dict[str, Any] = orjson.loads(line)
            except orjson.JSONDecodeError:
                return
            yield Change(**{**kept, "at": datetime.fromisoformat(kept["at"])})

    def add(self, change: Change) -> None:
        if self._file is None:
            return
        kept = {name: getattr(change, name) for name in Change.__slots__}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            file.write(orjson.dumps(kept) + b"\n")

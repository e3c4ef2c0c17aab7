"""Where Pipedrive's merges lead. Pure.

Rule 1: an entity that was merged away stands for the one that its chain of merges ends at.
Rule 2: merges that run in a circle end at the smallest id in it.
"""

from collections.abc import Mapping

from shared.register import Register


def survivor(number: int, register: Register) -> int | None:
    """What an entity was merged into; null while it lives."""
    into: int | None = register.fields["merged_into"] if register.deleted else None
    return None if into == number else into


def roots(edges: Mapping[int, int], known: Mapping[int, int]) -> dict[int, int]:
    """The end of the chain of every loser in `edges` (loser → survivor).

    `known` are ends already known for ids outside `edges`; an id in neither ends at itself.
    """
    found: dict[int, int] = {}
    for start in edges:
        path: dict[int, None] = {}
        at = start
        while at in edges and at not in found and at not in path:
            path[at] = None
            at = edges[at]
        if at in path:
            walked = list(path)
            end = min(walked[walked.index(at) :])
        else:
            end = found.get(at, known.get(at, at))
        found |= dict.fromkeys(path, end)
    return found

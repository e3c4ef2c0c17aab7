"""A webhook's bytes as plain JSON values that every store can hold. Pure.

Rule: what comes out has finite numbers, integers that fit 64 bits and text that is valid Unicode.
"""

import json
import math
from typing import Any, Final

import orjson

from shared.errors import Poison

LONGEST_INTEGER: Final = 19
DEEPEST: Final = 64


def read(content: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Poison: there is none.
    """
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = _read_leniently(content)
    if type(found) is not dict:
        raise Poison("the body is not a JSON object")
    return found


def _read_leniently(content: bytes) -> Any:
    """Reads what strict parsers refuse and senders produce: half an emoji, NaN, 1e999, a BOM."""
    try:
        found = json.loads(
            content, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer
        )
        # Halves of surrogate pairs become question marks on the way.
        return orjson.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise Poison(f"the body is not JSON: {type(error).__name__}") from error


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _integer(digits: str) -> int | str:
    """Digits that fit no integer column stay as text."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else digits


def storable(raw: Any, depth: int = 0) -> Any:
    """A value of any shape as it may travel: without NUL, and of bounded depth.

    Raises:
        Poison: it is nested too deep for the writers and readers down the line.
    """
    if depth > DEEPEST:
        raise Poison(f"the body is nested deeper than {DEEPEST} levels")
    if type(raw) is str:
        return raw.replace("\0", "") if "\0" in raw else raw
    if type(raw) is list:
        return [storable(each, depth + 1) for each in raw]
    if type(raw) is dict:
        return {name.replace("\0", ""): storable(v, depth + 1) for name, v in raw.items()}
    return raw

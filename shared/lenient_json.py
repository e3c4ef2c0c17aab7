"""JSON as senders write it, read into values that every store can hold. Pure.

Rule: the result has finite numbers, integers that fit 64 bits and text that is valid Unicode.
"""

import json
import math
from typing import Any, Final

import orjson

LONGEST_INTEGER: Final = 19


def read(content: bytes) -> Any:
    """Raises:
    ValueError: it is not JSON, even read leniently.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _read_leniently(content)


def _read_leniently(content: bytes) -> Any:
    """Reads what strict parsers refuse and senders produce: half an emoji, NaN, 1e999, a BOM."""
    try:
        found = json.loads(
            content, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer
        )
        # Halves of surrogate pairs become question marks.
        return orjson.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _integer(digits: str) -> int | str:
    """Digits that exceed any integer column stay text."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else digits

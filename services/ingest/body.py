"""A webhook's bytes as plain JSON values that every store can hold. Pure."""

from typing import Any, Final

from shared import lenient_json
from shared.errors import Poison

DEEPEST: Final = 64


def read(content: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Poison: there is none.
    """
    try:
        found = lenient_json.read(content)
    except ValueError as error:
        raise Poison(f"the body is not JSON: {type(error).__name__}") from error
    if type(found) is not dict:
        raise Poison("the body is not a JSON object")
    return found


def storable(raw: Any, depth: int = 0) -> Any:
    """A value made safe for every store: without NUL, and of bounded depth.

    Raises:
        Poison: it is nested too deep for downstream writers and readers.
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

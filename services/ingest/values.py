"""Pipedrive's values as ours: text, numbers, references, times. Pure.

Rule 1: a converter never raises. A value that cannot be read as its kind is null, since one odd
        field must not cost us the rest of the body.
Rule 2: blank text is null, and text never holds NUL: Postgres stores none.
Rule 3: text that pages show is cut at `LONGEST`, many times what Pipedrive accepts: an
        organization carries texts of several records, and all must fit into one message.
Rule 4: every time is in UTC. A time without a zone is UTC already.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from shared.events import BIGINT_MAX

Converter = Callable[[Any], Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MILLISECOND: Final = timedelta(milliseconds=1)
MICROSECOND: Final = timedelta(microseconds=1)
# Outside these years a date is a typo, and near the ends of the calendar adding days to it
# overflows in its readers.
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9000
# The unit of a UNIX time follows from its size: below the first seconds, below the second ms.
SECONDS_BELOW: Final = 10**11
MILLISECONDS_BELOW: Final = 10**14
BIGINT_DIGITS: Final = 19
LONGEST: Final = 5_000
"""Characters of a text that pages show; Pipedrive's own limit is 255."""
TRUE: Final = frozenset({"1", "true"})
FALSE: Final = frozenset({"0", "false"})


def text(raw: Any) -> str | None:
    if type(raw) is str:
        clean = raw.replace("\0", "") if "\0" in raw else raw
        return clean if clean and not clean.isspace() else None
    if type(raw) is float and raw.is_integer():
        return str(int(raw))
    if type(raw) in (int, float):
        return str(raw)
    return text(inner(raw)) if type(raw) is dict else None


def shown(raw: Any) -> str | None:
    """Text as a page shows it (rule 3)."""
    found = text(raw)
    return found if found is None or len(found) <= LONGEST else text(found[:LONGEST])


def inner(raw: dict[str, Any]) -> Any:
    """The plain value of an object that wraps one: a reference, an option, an amount."""
    for name in ("value", "id", "amount"):
        found = raw.get(name)
        if found is not None and type(found) is not dict:
            return found
    return None


def reference(raw: Any) -> int | None:
    """The id of another entity, whether it comes as a number, as text or as an object."""
    if type(raw) is int:
        return raw if 0 <= raw <= BIGINT_MAX else None
    if raw is None:
        return None
    if type(raw) is str:
        digits = raw.strip()
        if len(digits) > BIGINT_DIGITS or not (digits.isascii() and digits.isdecimal()):
            return None
        number = int(digits)
        return number if number <= BIGINT_MAX else None
    if type(raw) is float:
        return reference(int(raw)) if raw.is_integer() else None
    return reference(inner(raw)) if type(raw) is dict else None


def number(raw: Any) -> float | None:
    if type(raw) is float:
        return raw if math.isfinite(raw) else None
    if type(raw) is int:
        return number(float(raw)) if abs(raw) <= BIGINT_MAX else None
    if type(raw) is str:
        try:
            return number(float(raw))
        except ValueError:
            return None
    if type(raw) is dict:
        return number(inner(raw))
    return None


def flag(raw: Any) -> bool | None:
    if type(raw) is bool:
        return raw
    word = str(raw).lower() if type(raw) in (int, str) else ""
    if word in TRUE:
        return True
    return False if word in FALSE else None


def moment(raw: Any) -> datetime | None:
    """A time in any of Pipedrive's formats, or a UNIX time."""
    if type(raw) is not str or raw.isdecimal():
        return _unix(raw)
    try:
        at = datetime.fromisoformat(raw)
        if at.tzinfo is not UTC:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if is_likely(at) else None


def is_likely(at: date) -> bool:
    """Whether such a date, or a time on such a date, is accepted."""
    return FIRST_YEAR <= at.year <= LAST_YEAR


def _unix(raw: Any) -> datetime | None:
    count = reference(raw) if type(raw) in (int, str) else None
    if count is None:
        return None
    if count < SECONDS_BELOW:
        return since_epoch(SECOND, count)
    return since_epoch(MILLISECOND if count < MILLISECONDS_BELOW else MICROSECOND, count)


def since_epoch(unit: timedelta, count: int) -> datetime | None:
    try:
        at = EPOCH + count * unit
    except OverflowError:
        return None
    return at if at.year <= LAST_YEAR else None


def micros(at: datetime) -> int:
    """The instant in whole microseconds since 1970, exactly."""
    return (at - EPOCH) // MICROSECOND


def day(raw: Any) -> date | None:
    """A date; of a time, its day in UTC."""
    if type(raw) is not str:
        return None
    try:
        found = date.fromisoformat(raw)
    except ValueError:
        at = moment(raw)
        return None if at is None else at.date()
    return found if is_likely(found) else None


def references(raw: Any) -> list[int] | None:
    """Ids from a list, from comma-separated text, or a single one."""
    if raw is None:
        return None
    return [found for each in _listed(raw) if (found := reference(each)) is not None]


def texts(raw: Any) -> list[str] | None:
    if raw is None:
        return None
    return [found for each in _listed(raw) if (found := text(each)) is not None]


def _listed(raw: Any) -> list[Any]:
    if type(raw) is list:
        return raw
    return raw.split(",") if type(raw) is str else [raw]


def contact_points(raw: Any) -> list[dict[str, Any]] | None:
    """E-mail addresses or phone numbers. Pipedrive writes "none" as one entry without a value."""
    if raw is None:
        return None
    points = []
    for each in raw if type(raw) is list else [raw]:
        entry = each if type(each) is dict else {"value": each}
        value = shown(entry.get("value"))
        if value is not None:
            primary = flag(entry.get("primary")) is True
            label = shown(entry.get("label"))
            points.append({"value": value.strip(), "label": label, "primary": primary})
    return points


def plain(raw: Any) -> Any:
    """A custom field's value without its wrapper: see `fields.custom_fields`."""
    kind = type(raw)
    if raw is None or kind is bool:
        return raw
    if kind is str:
        return text(raw)
    if kind is int:
        return raw if -BIGINT_MAX <= raw <= BIGINT_MAX else None
    if kind is float:
        return number(raw)
    if kind is list:
        return [each for each in map(_plain_scalar, raw) if each is not None]
    return _unwrapped(raw)


def _unwrapped(raw: dict[str, Any]) -> Any:
    for name in ("value", "id", "values", "from"):
        found = raw.get(name)
        if found is not None:
            return plain(found) if type(found) is list else _plain_scalar(found)
    return None


def _plain_scalar(raw: Any) -> Any:
    scalar = inner(raw) if type(raw) is dict else raw
    return None if type(scalar) is list else plain(scalar)

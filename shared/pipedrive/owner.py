"""Who owns a token, according to Pipedrive's record of its user. Pure.

Rule: what is missing or unreadable is null, and proves nothing.
"""

from typing import Any, Final, NamedTuple

PATH: Final = "/v1/users/me"


class Owner(NamedTuple):
    """`is_admin`: of the whole company; others do not see everything."""

    company_id: int | None = None
    user_id: int | None = None
    is_admin: bool | None = None


UNTOLD: Final = Owner()


def read(told: Any) -> Owner:
    if not isinstance(told, dict):
        return UNTOLD
    is_admin = _number(told.get("is_admin"))
    return Owner(
        _number(told.get("company_id")),
        _number(told.get("id")),
        None if is_admin is None else is_admin != 0,
    )


def _number(raw: Any) -> int | None:
    """Also accepts true and false: both spellings are in use for flags."""
    if isinstance(raw, int):
        return int(raw)
    is_number = isinstance(raw, str) and raw.isascii() and raw.isdecimal()
    return int(raw) if is_number else None

"""Whose a token is, as Pipedrive says of the user for whom it speaks. Pure.

Rule: what is not said, or not readable, is null, and proves nothing.
"""

from typing import Any, Final, NamedTuple

PATH: Final = "/v1/users/me"


class Owner(NamedTuple):
    """`is_admin`: of the whole company; others see less than all."""

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
    """Also of true and false: both spellings are in use for flags."""
    if isinstance(raw, int):
        return int(raw)
    is_number = isinstance(raw, str) and raw.isascii() and raw.isdecimal()
    return int(raw) if is_number else None

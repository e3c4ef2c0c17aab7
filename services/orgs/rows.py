"""How a register is stored in a row: its stamp, whether it lives, its lag, then its fields. Pure.

Ids read from a row are of the driver's type.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.register import Register, Stamp, decode_lag, encode_lag


def register(row: Any, names: Sequence[str]) -> Register:
    return Register(
        Stamp(row["version"], row["rank"], row["event_id"]),
        row["deleted"],
        {name: row[name] for name in names},
        decode_lag(row["lag"]),
    )


def cells(of: Register, names: Sequence[str]) -> tuple[Any, ...]:
    fields = of.fields
    return (*of.stamp, of.deleted, encode_lag(of.lag), *[fields[name] for name in names])


def plain(driver_uuid: UUID) -> UUID:
    """The JSON writer accepts the standard library's UUID, not the driver's subclass of it."""
    return UUID(bytes=driver_uuid.bytes)

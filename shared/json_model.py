"""The shape of what we write into JSON and read from it. Pure."""

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

DIGITS: Final = re.compile(r"-?[0-9]+")


class Json(BaseModel):
    """A body of ours: camelCase outside, snake_case inside, and no name that is not known. Inside
    alone it may be made by either: who reads what was sent takes those of outside.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )


def _digits(value: object) -> object:
    """Python, and so the models, would also take `1_0`, `1.0` and spaces around."""
    if isinstance(value, str) and not DIGITS.fullmatch(value):
        raise ValueError("Use digits")
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
"""A number in a query string."""


def _flag(value: object) -> object:
    """Models would also take `yes`, `1` and `T`."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("Use true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""Yes or no in a query string."""

"""The base model of JSON bodies. Pure."""

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

DIGITS: Final = re.compile(r"-?[0-9]+")


class Json(BaseModel):
    """A JSON body: camelCase outside, snake_case inside, unknown names refused. Inside, instances
    may use either spelling; parsing of requests accepts only camelCase.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )


def _digits(value: object) -> object:
    """Python, and so the models, would also accept `1_0`, `1.0` and surrounding spaces."""
    if isinstance(value, str) and not DIGITS.fullmatch(value):
        raise ValueError("Use digits")
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
"""A number in a query string."""


def _flag(value: object) -> object:
    """Models would also accept `yes`, `1` and `T`."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("Use true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean in a query string."""

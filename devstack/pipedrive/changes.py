"""One thing that happened in the company, as the webhooks tell it.

Rule 1: states are never edited in place; a change carries the object before and after.
Rule 2: two changes of one object are at least a millisecond apart, since v2 bodies say no finer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Entity = Literal["user", "organization", "person", "deal", "activity", "lead", "note"]
Action = Literal["create", "change", "delete"]
State = Mapping[str, Any]
Id = int | str


@dataclass(frozen=True, slots=True)
class Change:
    """`state` is None after a delete, `previous` None after a create.

    In a merge the loser's delete has `merged_to`, the survivor's change has `merged_from` and
    `absorbed`, the loser's last state. `names` holds what v1 bodies join in: owner, org, person.
    """

    number: int
    entity: Entity
    action: Action
    entity_id: Id
    state: State | None
    previous: State | None
    at: datetime
    user_id: int
    names: Mapping[str, str | None]
    merged_to: Id | None = None
    merged_from: Id | None = None
    absorbed: State | None = None

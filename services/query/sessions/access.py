"""Who may no longer read, and why. Pure.

Rule 1: a user whom Pipedrive has deactivated or deleted may not; a user it never told of may.
Rule 2: a token may not once it was revoked, or once all of its user's were that had been issued
        by then. A token that does not say when it was issued counts as older than any revocation:
        `exp` does not tell, since how long tokens live is known to those alone who issue them.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared.auth import Session
from shared.events import Action, UserChange
from shared.register import Register, Write, empty

USER_FIELDS: Final = ("name", "email", "active")
LAST_S: Final = 253_370_764_800.0
"""The beginning of the year 9999."""
NO_USER: Final = empty(USER_FIELDS)
ALL_REVOKED: Final = "All tokens of this user were revoked. Sign in again."
ALL_UNDATED_REVOKED: Final = (
    "All tokens of this user were revoked. A token that is to be valid from then on must say when "
    "it was issued (iat); this one does not."
)


def user_write(change: UserChange) -> Write:
    said = change.data.model_fields_set.intersection(USER_FIELDS) if change.data else ()
    carried = {name: getattr(change.data, name) for name in said}
    return Write(change.stamp, change.action is Action.DELETE, carried)


def is_inactive(user: Register) -> bool:
    return user.deleted or user.fields["active"] is False


def instant(seconds: float) -> datetime:
    """Seconds since 1970 as a date; a token may be valid for longer than dates go."""
    return datetime.fromtimestamp(min(seconds, LAST_S), UTC)


class UserKey(NamedTuple):
    company_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Denials:
    """All that refuses anybody. Times are seconds since 1970."""

    inactive: AbstractSet[UserKey] = frozenset()
    all_until: Mapping[UserKey, float] = field(default_factory=dict)
    tokens: AbstractSet[tuple[UserKey, str]] = frozenset()

    def why(self, session: Session) -> str | None:
        """Why the session is refused, as a sentence; null while it is not."""
        who = session.identity
        key = UserKey(who.company_id, who.user_id)
        if key in self.inactive:
            return "This user is deactivated in Pipedrive."
        until = self.all_until.get(key)
        if until is not None and session.issued_at < until:
            return ALL_REVOKED if session.issued_at else ALL_UNDATED_REVOKED
        if self.tokens and (key, session.token_id) in self.tokens:
            return "This token was revoked. Sign in again."
        return None

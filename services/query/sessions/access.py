"""Who may no longer read, and why. Pure.

Rule 1: a user whom Pipedrive has deactivated or deleted may not; a user it never told of may.
Rule 2: a token may not once it was revoked, or once all of its user's were that had been issued
        by then. A token that does not say when it was issued counts as older than any revocation:
        `exp` does not tell, since how long tokens live is known to those alone who issue them.
"""

from collections.abc import Iterable
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
INACTIVE: Final = "This user is deactivated in Pipedrive."
ONE_REVOKED: Final = "This token was revoked. Sign in again."
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


class Revoked(NamedTuple):
    """A token that was revoked, or, where it has no name, all of the user's that had been issued
    by then. `at` is a second since 1970.
    """

    company_id: int
    user_id: int
    token_id: str
    at: float


@dataclass(slots=True)
class Denial:
    """What refuses a user; `all_until` is a second since 1970."""

    is_inactive: bool = False
    all_until: float = 0.0
    tokens: set[str] = field(default_factory=set)

    def why(self, session: Session) -> str | None:
        if self.is_inactive:
            return INACTIVE
        if session.issued_at < self.all_until:
            return ALL_REVOKED if session.issued_at else ALL_UNDATED_REVOKED
        return ONE_REVOKED if session.token_id in self.tokens else None


@dataclass(frozen=True, slots=True)
class Denials:
    """All that refuses anybody."""

    of: dict[UserKey, Denial] = field(default_factory=dict)

    def deactivate(self, users: Iterable[UserKey]) -> None:
        for user in users:
            self._denial(user).is_inactive = True

    def revoke(self, revoked: Iterable[Revoked]) -> None:
        for company_id, user_id, token_id, at in revoked:
            denial = self._denial(UserKey(company_id, user_id))
            if token_id:
                denial.tokens.add(token_id)
            else:
                denial.all_until = at

    def replace(self, users: Iterable[UserKey], by: "Denials") -> None:
        """What refuses these users is what refuses them there."""
        for user in users:
            self.of.pop(user, None)
        self.of.update(by.of)

    def why(self, session: Session) -> str | None:
        """Why the session is refused, as a sentence; null while it is not."""
        who = session.identity
        denial = self.of.get(UserKey(who.company_id, who.user_id))
        return denial.why(session) if denial is not None else None

    def _denial(self, user: UserKey) -> Denial:
        denial = self.of.get(user)
        if denial is None:
            denial = self.of[user] = Denial()
        return denial

"""Which users and tokens are refused, and why. Pure.

Rule 1: a user whom Pipedrive has deactivated or deleted is refused; one who never arrived is not.
Rule 2: a token is refused once it was revoked, or once all of its user's tokens issued by then
        were. A token that does not say when it was issued counts as older than any revocation:
        `exp` does not show it, since only issuers know how long their tokens live.
Rule 3: the result does not depend on the order in which facts arrive.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared import register
from shared.auth import Session
from shared.events import Action, SessionChange, UserChange
from shared.register import Register, Write, empty

USER_FIELDS: Final = ("name", "email", "active")
LAST_S: Final = 253_370_764_800.0
"""The start of the year 9999."""
NO_USER: Final = empty(USER_FIELDS)
UNNAMED: Final = empty(("active",))
"""A user with no facts yet, reduced to what can refuse them."""
GRACE_S: Final = 3600.0
"""How long records that no token can match any more are kept: the clocks that judge it differ."""
ALL: Final = ""
"""The name of a revocation of all of a user's tokens."""
INACTIVE: Final = "This user is deactivated in Pipedrive."
ONE_REVOKED: Final = "This token was revoked. Sign in again."
ALL_REVOKED: Final = "All tokens of this user were revoked. Sign in again."
ALL_UNDATED_REVOKED: Final = (
    "All tokens of this user were revoked. A token issued since then must say when it was issued "
    "(iat); this one does not."
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
    """A revoked token or, without a name, all of the user's issued by then. `at` is in seconds
    since 1970.
    """

    company_id: int
    user_id: int
    token_id: str
    at: float


@dataclass(slots=True)
class Denial:
    """What refuses a user's tokens; `all_until` is in seconds since 1970."""

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
    """Everything that refuses anybody."""

    of: dict[tuple[int, int], Denial] = field(default_factory=dict)

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
        """Replace what refuses these users by what `by` has."""
        for user in users:
            self.of.pop(user, None)
        self.of.update(by.of)

    def why(self, session: Session) -> str | None:
        """Why the session is refused, as a sentence; null if it is not."""
        who = session.identity
        denial = self.of.get((who.company_id, who.user_id))
        return denial.why(session) if denial is not None else None

    def _denial(self, user: UserKey) -> Denial:
        denial = self.of.get(user)
        if denial is None:
            denial = self.of[user] = Denial()
        return denial


class Kept(NamedTuple):
    """When a token was revoked, and when it has certainly expired; seconds since 1970."""

    at: float
    until: float

    def joined(self, other: "Kept") -> "Kept":
        return Kept(max(self.at, other.at), max(self.until, other.until))


class Told:
    """What the log has said so far, and so who is refused, for services without a store of it.

    For each user in the log it keeps when they were last said to be active or not, in either case:
    an older fact may arrive late. Of revocations it keeps what query's store keeps.
    """

    def __init__(self) -> None:
        self.denials = Denials()
        self._users: dict[UserKey, Register] = {}
        self._revoked: dict[UserKey, dict[str, Kept]] = {}
        self._changed: set[UserKey] = set()

    def add_user(self, change: UserChange) -> None:
        """Raises:
        Poison: it names no user.
        """
        user = UserKey(change.company_id, change.number)
        row = self._users.get(user, UNNAMED)
        self._users[user] = register.apply(row, user_write(change))
        self._changed.add(user)

    def add_revocation(self, change: SessionChange) -> None:
        if change.data is None:
            return
        user = UserKey(change.company_id, change.data.user_id)
        expires_at = change.data.expires_at
        until = expires_at.timestamp() + GRACE_S if expires_at is not None else math.inf
        said = Kept(change.occurred_at.timestamp(), until)
        held = self._revoked.setdefault(user, {})
        name = change.data.token_id or ALL
        held[name] = said.joined(held.get(name, said))
        self._changed.add(user)

    def settle(self, *, now: float) -> None:
        """Put in force what was added."""
        changed, self._changed = self._changed, set()
        self._settle(changed, now)

    def forget(self, *, now: float) -> None:
        """Drop what no token can match any more."""
        self._settle(list(self._revoked), now)

    def _settle(self, users: Collection[UserKey], now: float) -> None:
        found = Denials()
        for user in users:
            row = self._users.get(user)
            if row is not None and is_inactive(row):
                found.deactivate([user])
            held = _in_force(self._revoked.pop(user, {}), now)
            if held:
                self._revoked[user] = held
            found.revoke(Revoked(*user, name, kept.at) for name, kept in held.items())
        self.denials.replace(users, by=found)


def _in_force(held: dict[str, Kept], now: float) -> dict[str, Kept]:
    """Without those that have expired, and those covered by the revocation of all of the user's:
    their expiry is unknown, and they would be kept for ever.
    """
    every = held.get(ALL, Kept(0.0, math.inf))
    return {
        name: kept
        for name, kept in held.items()
        if kept.until > now
        and (name == ALL or kept.until < math.inf or kept.at >= every.at - GRACE_S)
    }

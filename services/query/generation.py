"""Which cached pages may be served: the keys in Redis, and the scripts that move them.

Each user has a generation for each view, and each company one for what all its users see: the
state of its sync. A page is served while the generations of its user and of the whole
store that it was read under are still current, and clean. The company's part is looked up
separately, so a sync that finds nothing new invalidates no page.

Rule 1: a generation is random and never comes back.
Rule 2: before a transaction commits, whoever it affects is marked: the generation is dirty until
        the last marker reports that its transaction has ended. Then there is a new one.
Rule 3: a marker that died is forgotten after the longest time a transaction can take.
Rule 4: scripts that invalidate pages begin with a deletion. A full Redis refuses a script only at
        its first write that takes memory: one that deletes first is carried out completely
        (https://redis.io/docs/latest/develop/programmability/eval-intro, "low memory conditions").
"""

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from services.query.batch import User

DIRTY: Final = b"~"
READ: Final = b"read"
WAIT: Final = b"wait"
MARK_S: Final = 360
CLEAN_S: Final = 86_400
PAGE_S: Final = 300
CLAIM_MS: Final = 1000
"""How long the reader of a page keeps others from reading it; longer than nearly any read."""

# KEYS: generation, markers. ARGV: marker, fresh generation, seconds a mark lasts.
MARK: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], '~' .. ARGV[2], 'EX', ARGV[3])
"""

# KEYS: generation, markers. ARGV: marker, fresh generation, seconds that a mark and a clean
# generation last.
UNMARK: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) == 0 then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[4])
else
    redis.call('SET', KEYS[1], '~' .. ARGV[2], 'EX', ARGV[3])
end
"""

# KEYS: epoch. ARGV: fresh epoch, seconds it lasts.
CLOSE: Final = """
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '~' .. ARGV[1], 'EX', ARGV[2])
"""

# KEYS: page, claim. ARGV: tag, the separator between it and the rest of a page, milliseconds of a
# claim.
CLAIM: Final = """
local head = ARGV[1] .. ARGV[2]
local page = redis.call('GET', KEYS[1])
if page and string.sub(page, 1, #head) == head then
    return {page, redis.call('PTTL', KEYS[1])}
end
local claim = redis.call('GET', KEYS[2])
if claim == ARGV[1] then
    return 'wait'
end
if claim ~= ARGV[1] .. '~' then
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
end
return 'read'
"""


class View(StrEnum):
    """Pages that the same changes invalidate: those that show contacts, and those that show their
    organizations and statistics, which a renamed contact does not affect.
    """

    CONTACTS = "c"
    OVERVIEW = "o"


class Part(NamedTuple):
    """A view of a user's pages; without one, all pages of the company's users."""

    user: User
    view: View | None = None

    @property
    def name(self) -> str:
        name = _name(self.user)
        return f"{{{name}}}" if self.view is None else f"{{{name}}}:{self.view}"


def fresh() -> bytes:
    return secrets.token_hex(8).encode()


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names in Redis, for one read model."""

    store_id: UUID

    @property
    def epoch(self) -> str:
        """Changes when any page there may be wrong."""
        return f"my500:{self.store_id}:epoch"

    def generation(self, part: Part) -> str:
        return f"my500:{self.store_id}:g:{part.name}"

    def markers(self, part: Part) -> str:
        return f"my500:{self.store_id}:m:{part.name}"

    def page(self, user: User, name: str) -> str:
        return f"my500:{self.store_id}:p:{{{_name(user)}}}:{name}"

    def claim(self, user: User, name: str) -> str:
        """The reader's claim, which holds the generations that the page will be kept under."""
        return f"my500:{self.store_id}:r:{{{_name(user)}}}:{name}"

    def user(self, user: User) -> str:
        """The user's record from Pipedrive; it has no generation."""
        return f"my500:{self.store_id}:u:{{{_name(user)}}}"

    @property
    def users(self) -> str:
        """A pattern that matches the keys of all user records."""
        return f"my500:{self.store_id}:u:*"

    def claiming(self, user: User, name: str, tag: bytes, separator: bytes) -> tuple[Any, ...]:
        """Returns the page kept under the tag and its remaining milliseconds; else `READ`: it is
        claimed for the caller; `WAIT`: another has claimed it.
        """
        keys = (self.page(user, name), self.claim(user, name))
        return ("EVAL", CLAIM, 2, *keys, tag, separator, CLAIM_MS)

    def close(self) -> tuple[Any, ...]:
        """No page is served until the epoch is raised, or this mark expires."""
        return ("EVAL", CLOSE, 1, self.epoch, fresh(), MARK_S)

    def raise_epoch(self) -> tuple[Any, ...]:
        """Invalidates all pages: the next request starts a new epoch."""
        return ("DEL", self.epoch)

    def mark(self, part: Part, marker: bytes) -> tuple[Any, ...]:
        keys = (self.generation(part), self.markers(part))
        return ("EVAL", MARK, 2, *keys, marker, fresh(), MARK_S)

    def unmark(self, part: Part, marker: bytes) -> tuple[Any, ...]:
        keys = (self.generation(part), self.markers(part))
        return ("EVAL", UNMARK, 2, *keys, marker, fresh(), MARK_S, CLEAN_S)


def user_named(name: str) -> User:
    """The user whose record in Redis has this key."""
    company_id, user_id = name.rpartition("{")[2].rstrip("}").split(":")
    return User(int(company_id), int(user_id))


def _name(user: User) -> str:
    return f"{user.company_id}:{'*' if user.user_id is None else user.user_id}"


class Now(NamedTuple):
    """The generations as read from Redis at one time."""

    run: bytes
    epoch: bytes | None
    company: bytes | None
    part: bytes | None

    @property
    def is_complete(self) -> bool:
        return None not in self

    @property
    def tag(self) -> bytes | None:
        """The tag a page must have been read under to be served now; null while none may be."""
        return self._tag(self.part)

    @property
    def company_tag(self) -> bytes | None:
        """The same for the company's part."""
        return self._tag(self.company)

    def _tag(self, generation: bytes | None) -> bytes | None:
        if self.epoch is None or generation is None:
            return None
        if self.epoch.startswith(DIRTY) or generation.startswith(DIRTY):
            return None
        return b"/".join((self.run, self.epoch, generation))

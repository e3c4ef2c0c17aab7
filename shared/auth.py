"""Which user and company a bearer token stands for.

Rule 1: algorithms are pinned: HS256 with the secret, RS256 and ES256 with the JWKS file's keys; a
        key of one kind never verifies a token of another.
Rule 2: a token without `exp`, `sub` or `company_id` is refused.
Rule 3: a verified token is trusted until it expires, is denied, or the JWKS file changes: then
        each is verified again.
Rule 4: an issuer's clock may be a little ahead of ours. Further ahead a token is refused: one
        issued later than now, by its own account, would survive a revocation of all until now.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from pydantic import SecretStr

from shared.errors import Misconfigured
from shared.events import BIGINT_MAX
from shared.json_model import DIGITS
from shared.jwks import Jwks

REMEMBERED = 20_000
AHEAD_S = 60
ASYMMETRIC = ("RS256", "ES256")
USUAL = "Bearer "


@dataclass(frozen=True, slots=True)
class Identity:
    company_id: int
    user_id: int
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A verified token. `token_id` identifies it without revealing it; times are seconds since
    1970.

    `issued_at` is 0 if the token does not say.
    """

    identity: Identity
    token_id: str
    issued_at: float
    expires_at: float


Deny = Callable[[Session], str | None]
"""Why a session is refused, as a sentence; null if it is not. `Unavailable` while that is not
known yet.
"""
Saw = Callable[[Session, Mapping[str, str]], None]
"""Told of a session that a request is let in with, and of the request's headers."""


class Unauthenticated(Exception):
    """The token is missing, malformed, expired, or not signed by us."""


class Authenticator:
    """`deny` and `saw` are called for every request, so they must only use memory."""

    def __init__(
        self, secret: SecretStr | None, jwks_file: Path | None, deny: Deny | None = None
    ) -> None:
        """Raises:
        Misconfigured: no key to verify tokens with is configured.
        """
        self._secret = secret.get_secret_value() if secret else ""
        if not self._secret and jwks_file is None:
            raise Misconfigured("set JWT_SECRET or JWT_JWKS_FILE")
        self._jwks = Jwks(jwks_file) if jwks_file else None
        self._known: OrderedDict[str, Session] = OrderedDict()
        self.deny = deny
        self.saw: Saw | None = None

    def session(self, authorization: str | None) -> Session:
        """Raises:
        Unauthenticated: no valid bearer token.
        Unavailable: it is not known yet which tokens are revoked.
        """
        if self._jwks is not None and self._jwks.has_changed():
            self._known.clear()
        header = authorization or ""
        if header not in self._known:
            header = _usual(header)
        session = self._known.get(header)
        if session is None or session.expires_at <= time.time():
            session = self._verified(header)
        if self.deny is not None and (why := self.deny(session)):
            raise Unauthenticated(why)
        return session

    def _verified(self, header: str) -> Session:
        token = header.removeprefix(USUAL)
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The token has expired.") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated("The token is not valid.") from error
        session = self._known[header] = Session(
            _identity(claims),
            _token_id(claims, token),
            _seconds(claims.get("iat", 0)),
            _seconds(claims["exp"]),
        )
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return session

    def _claims(self, token: str) -> dict[str, Any]:
        algorithm, keys = self._keys_for(jwt.get_unverified_header(token))
        if not keys:
            raise Unauthenticated("The token is not signed with a key known here.")
        for key in keys:
            with suppress(jwt.InvalidSignatureError):
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm],
                    options={"require": ["exp", "sub", "company_id"], "verify_aud": False},
                    leeway=AHEAD_S,
                )
                if _seconds(claims["exp"]) <= time.time():  # no leeway there
                    raise jwt.ExpiredSignatureError
                return claims
        raise jwt.InvalidSignatureError

    def _keys_for(self, header: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        """Keys that may have signed it: all of its kind, if it does not name one."""
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret:
            return algorithm, [self._secret]
        if algorithm in ASYMMETRIC and self._jwks is not None:
            return algorithm, [
                key
                for kid, kind, key in self._jwks.keys
                if kind == algorithm and header.get("kid") in (None, kid)
            ]
        return "", ()


def _usual(authorization: str) -> str:
    """The header as most clients write it: it can have any number of spaces, and each variant
    would be cached.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send a bearer token in the Authorization header.")
    return USUAL + token.strip()


def _identity(claims: dict[str, Any]) -> Identity:
    try:
        company_id, user_id = (_number(claims[name]) for name in ("company_id", "sub"))
    except (ValueError, TypeError) as error:
        raise Unauthenticated("The token names no company or user.") from error
    return Identity(company_id, user_id, claims.get("role") == "admin")


def token_id(jti: str) -> str:
    """The id of tokens with this `jti`."""
    text = jti.encode("utf-8", "surrogatepass")  # JSON may hold half a surrogate pair
    return hashlib.blake2b(text, digest_size=16, person=b"my500 jti").hexdigest()


def _token_id(claims: dict[str, Any], token: str) -> str:
    """A token without a `jti` is identified by its signed part: its text could be varied."""
    jti = claims.get("jti")
    if isinstance(jti, str) and jti:
        return token_id(jti)
    signed = token.rpartition(".")[0]
    return hashlib.blake2b(signed.encode(), digest_size=16, person=b"my500 token").hexdigest()


def _seconds(claim: float) -> float:
    """Clamped to meaningful times: no token was issued before 1970."""
    try:
        return max(0.0, float(claim))
    except OverflowError as error:
        raise Unauthenticated("The token is not valid.") from error


def _number(claim: object) -> int:
    if isinstance(claim, bool) or not isinstance(claim, int | str):
        raise TypeError
    if isinstance(claim, str) and not DIGITS.fullmatch(claim):
        raise ValueError  # Python accepts `1_0` as 10, and digits of every script
    number = int(claim)
    if not 0 <= number <= BIGINT_MAX:
        raise ValueError
    return number

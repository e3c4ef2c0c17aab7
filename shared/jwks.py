"""The public keys that tokens are verified with, from a JWKS file, read again when it changes.

Rule 1: keys that are not for RS256 or ES256 signatures are ignored, as RFC 7517 §5 recommends:
        token issuers may publish others beside them.
Rule 2: a file that becomes unreadable, or has no usable key, changes nothing: the last good one
        stays in force.
"""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt

from shared.errors import Misconfigured

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0


class Key(NamedTuple):
    """With its name, if it has one, and its algorithm."""

    name: str | None
    algorithm: str
    key: Any


class Jwks:
    """The file's keys. Loaded on creation."""

    def __init__(self, file: Path) -> None:
        """Raises:
        Misconfigured: the file cannot be read, or has no usable key.
        """
        self._file = file
        self._refused = ""
        self._look_at = 0.0
        try:
            self._version = self._seen()
            self.keys = _read(file)
        except (OSError, ValueError) as error:
            raise Misconfigured(f"JWT_JWKS_FILE, {file}: {_reason(error)}") from error

    def has_changed(self) -> bool:
        """Whether the keys have changed; the file is checked once a second."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_S
        try:
            version = self._seen()
            if version == self._version:
                return False
            self.keys = _read(self._file)
        except (OSError, ValueError) as error:
            self._tell(_reason(error))
            return False
        self._version = version
        self._refused = ""
        log.info("jwks_loaded", extra={"keys": len(self.keys)})
        return True

    def _seen(self) -> tuple[int, int, int]:
        stat = self._file.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _tell(self, reason: str) -> None:
        if reason != self._refused:  # logged once, however often it is checked
            self._refused = reason
            log.error("jwks_refused", extra={"file": str(self._file), "reason": reason})


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _read(file: Path) -> Sequence[Key]:
    """Raises:
    OSError: the file cannot be read.
    ValueError: it is not a JWKS, or has no usable key.
    """
    match json.loads(file.read_text()):
        case {"keys": list(entries)}:
            keys = [key for entry in entries if (key := _key(entry)) is not None]
        case _:
            raise ValueError('it is not a key set: {"keys": […]}')
    if not keys:
        raise ValueError("it has no public key for RS256 or ES256")
    return keys


def _key(entry: Any) -> Key | None:
    match entry:
        case {"d": _}:  # somebody's private key
            return None
        case {"kty": "RSA", **rest}:
            algorithm = "RS256"
        case {"kty": "EC", "crv": "P-256", **rest}:
            algorithm = "ES256"
        case _:
            return None
    if rest.get("use", "sig") != "sig" or rest.get("alg", algorithm) != algorithm:
        return None
    try:
        return Key(entry.get("kid"), algorithm, jwt.PyJWK(entry, algorithm=algorithm).key)
    except jwt.PyJWTError:  # a member is missing or out of range
        return None

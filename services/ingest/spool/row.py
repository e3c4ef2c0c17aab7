"""A record as a row of a spool file, and back. Pure.

Rule: each row carries a checksum over the whole record. Bucket and size follow from the record;
      the row's own copies of them are for counting only.
"""

import zlib
from typing import Final

import orjson

from services.ingest.spool.ledger import BUCKETS
from shared.kafka.rounds import Record

OVERHEAD_BYTES: Final = 64
"""Roughly what SQLite stores besides a record."""


def bucket(record: Record) -> int:
    """Records of one topic and key share a bucket, with others. The topic counts, as a person and
    a deal may have the same id, and need not wait for one another.
    """
    return zlib.crc32(record.key or record.value, zlib.crc32(record.topic.encode())) % BUCKETS


def size(record: Record) -> int:
    headers = sum(len(name) + len(text) for name, text in record.headers)
    return len(record.value) + len(record.key or b"") + headers + OVERHEAD_BYTES


def written(record: Record, now: float) -> tuple[object, ...]:
    topic, key, value, headers = record
    # Header values are bytes; latin-1 represents any.
    told = orjson.dumps([[name, text.decode("latin-1")] for name, text in headers])
    checksum = _checksum(topic, key, told, value)
    return (now, bucket(record), size(record), checksum, topic, key, told, value)


def read(checksum: object, *parts: object) -> Record | None:
    """Null if it is not what was written."""
    topic, key, told, value = parts
    if not (
        isinstance(topic, str)
        and isinstance(told, bytes)
        and isinstance(value, bytes)
        and isinstance(key, bytes | None)
        and _checksum(topic, key, told, value) == checksum
    ):
        return None
    headers = [(name, text.encode("latin-1")) for name, text in orjson.loads(told)]
    return Record(topic, key, value, headers)


def is_count(place: object, length: object) -> bool:
    """Whether a row may have this bucket and size."""
    return isinstance(place, int) and 0 <= place < BUCKETS and isinstance(length, int)


def _checksum(topic: str, key: bytes | None, told: bytes, value: bytes) -> int:
    whole = b"\0".join((topic.encode(), b"" if key is None else b"=" + key, told, value))
    return zlib.crc32(whole)

"""What a body's encoding hides, and what it must not cost."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.encodings import TooLarge, Undecodable, decoded

MOST = 1_000


def bare(content: bytes) -> bytes:
    """Deflated, without the header of zlib."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(content) + engine.flush()


PACKED = [("gzip", gzip.compress), (" X-GZip ", gzip.compress), ("deflate", zlib.compress)]


@pytest.mark.parametrize(("encoding", "pack"), [*PACKED, ("Deflate", bare), ("identity", bytes)])
@pytest.mark.parametrize("size", [0, 1, MOST])
def test_what_was_packed_comes_out(encoding: str, pack: type[bytes], size: int) -> None:
    assert decoded(pack(b"a" * size), encoding, most=MOST) == b"a" * size


def test_one_stream_may_follow_another() -> None:
    assert decoded(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", most=MOST) == b"ab"
    with pytest.raises(TooLarge):
        decoded(gzip.compress(b"a" * MOST) + gzip.compress(b"b"), "gzip", most=MOST)


def test_a_bomb_goes_off_outside() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decoded(bomb, "gzip", most=MOST)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_what_ends_too_soon_is_nothing(encoding: str, pack: type[bytes]) -> None:
    packed = pack(b"a" * 300)
    for end in range(1, len(packed)):
        with pytest.raises(Undecodable):
            decoded(packed[:end], encoding, most=MOST)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "no-such"])
def test_other_encodings_are_not_known(encoding: str) -> None:
    with pytest.raises(Undecodable, match="not supported"):
        decoded(gzip.compress(b"a"), encoding, most=MOST)


@given(content=st.binary(max_size=200), encoding=st.sampled_from(["gzip", "deflate"]))
def test_nothing_else_is_raised(content: bytes, encoding: str) -> None:
    try:
        assert len(decoded(content, encoding, most=MOST)) <= MOST
    except (TooLarge, Undecodable):
        pass

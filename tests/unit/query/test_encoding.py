"""What is sent deflated is the page with its tail, and only to those who take it."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query import encoding
from services.query.encoding import Content


@given(st.binary(max_size=5000), st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_a_page_deflated_once_ends_with_any_tail(plain: bytes, tails: list[bytes]) -> None:
    content = Content(plain)

    for tail in tails:
        member = content.gzip() + content.gzip_tail(tail)
        assert gzip.decompress(member) == plain + tail
        # One member: readers that stop after the first see everything.
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
        assert reader.decompress(member) == plain + tail
        assert reader.eof
        assert reader.unused_data == b""


def test_a_tail_too_long_for_its_block_is_refused() -> None:
    with pytest.raises(ValueError, match="65536"):
        Content(b"x").gzip_tail(b"x" * 65_536)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("br;q=1.0, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("br, deflate", False),
        ("identity", False),
        ("gzip;q=much", False),
        ("", False),
        (",;,", False),
    ],
)
def test_gzip_is_sent_to_those_who_say_that_they_take_it(accepted: str, takes: bool) -> None:
    assert encoding.takes_gzip(accepted) is takes


@given(st.text(max_size=50))
def test_no_header_is_too_strange_to_be_read(text: str) -> None:
    assert encoding.takes_gzip(text) in (True, False)
    assert encoding.matches(text, 'W/"never"') in (True, False)

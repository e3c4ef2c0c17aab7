import asyncio

from services.query.live.stream import MOST_WAITING_BYTES, Stream
from shared.auth import Identity, Session


def a_stream(cut_off=lambda: None):
    session = Session(Identity(1, 7, False), "t", 0.0, 0.0)
    return Stream(session, None, cut_off=cut_off, is_gone=lambda: False)


async def test_a_reader_on_which_nothing_waits_is_sent_whatever_comes_at_once():
    stream = a_stream()
    long = b"x" * 2 * MOST_WAITING_BYTES

    for _ in range(3):
        assert stream.push(long)
        assert await stream.next(0) == long


async def test_a_reader_on_which_too_much_waits_is_cut_off_and_sent_nothing():
    cut = []
    stream = a_stream(lambda: cut.append(True))
    half = b"x" * (MOST_WAITING_BYTES // 2)

    assert stream.push(half)
    assert stream.push(half)
    assert not stream.push(b"x")

    assert (cut, stream.is_gone, await stream.next(0)) == ([True], True, b"")


async def test_what_comes_in_the_turn_in_which_the_time_ends_is_sent():
    stream = a_stream()

    waiting = asyncio.create_task(stream.next(0))
    asyncio.get_running_loop().call_soon(stream.push, b"news")

    assert await waiting == b"news"


async def test_a_quiet_stream_has_nothing_to_say_when_the_time_ends_and_goes_on():
    stream = a_stream()

    assert await stream.next(0) == b""
    stream.push(b"a")
    stream.push(b"b")
    assert await stream.next(0) == b"ab"
    assert await stream.next(0) == b""

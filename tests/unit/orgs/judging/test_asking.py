"""How many records the asker looks at together."""

from services.orgs.judging.asking import BATCH, PIECE_S, following


def test_pieces_that_take_long_become_smaller_but_never_none() -> None:
    limit = BATCH
    for _ in range(10):
        limit = following(limit, took_s=2 * PIECE_S)

    assert limit == 1


def test_pieces_that_take_little_grow_again_up_to_a_batch() -> None:
    limit = 1
    for _ in range(10):
        limit = following(limit, took_s=PIECE_S / 10)

    assert limit == BATCH


def test_a_piece_that_takes_about_as_long_as_it_may_stays() -> None:
    assert following(7, took_s=0.8 * PIECE_S) == 7

"""How the search index gives way."""

from services.query.searching import indexer


def test_an_import_comes_first_and_what_it_left_is_not_kept_waiting_for_minutes() -> None:
    assert indexer.rest_s(0.2, is_import=False) == 0.2
    assert indexer.rest_s(0.2, is_import=True) == 0.2 * indexer.IMPORT_REST
    assert indexer.rest_s(12.0, is_import=True) == indexer.IMPORT_LONGEST_S
    assert indexer.rest_s(40.0, is_import=True) == 40.0


def test_a_batch_that_failed_after_long_is_followed_by_smaller_ones_until_they_are_quick() -> None:
    sizes = [2_000]
    for worked_s, is_full in ((12.0, None), (9.0, None), (6.0, True), (0.1, None), (0.3, True)):
        sizes.append(indexer.batch_size(sizes[-1], worked_s, is_full=is_full, most=2_000))

    assert sizes == [2_000, 1_000, 500, 500, 500, 1_000]
    assert indexer.batch_size(2_000, 0.3, is_full=True, most=2_000) == 2_000
    assert indexer.batch_size(300, 9.0, is_full=None, most=2_000) == 250
    assert indexer.batch_size(20, 9.0, is_full=None, most=20) == 20

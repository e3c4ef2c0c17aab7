"""Words that people translate or cut short."""

from collections import Counter

import pytest

from services.orgs.matching import meanings, words


def test_each_word_has_one_meaning() -> None:
    rows = [set(words.split(row)) for row in meanings.rows()]
    seen = Counter(word for row in rows for word in row)

    assert [word for word, times in seen.items() if times > 1] == []
    assert all(len(row) > 1 for row in rows)


@pytest.mark.parametrize(
    ("one", "other"),
    [("bremen", "hamburg"), ("north", "south"), ("hospital", "hotel"), ("", ""), ("acme", "acme")],
)
def test_what_differs_or_is_not_listed_is_not_one(one: str, other: str) -> None:
    assert not meanings.are_one(one, other)
    assert not meanings.are_one(other, one)


@pytest.mark.parametrize("spelling", ["münchen", "muenchen", "MÜNCHEN", "munich"])
def test_words_fold_as_names_do(spelling: str) -> None:
    (word,) = words.split(spelling)

    assert meanings.are_one(word, *words.split("München"))

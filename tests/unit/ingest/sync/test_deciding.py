"""What is news to the log, and what is not."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.ingest import rows, values
from services.ingest.sync.deciding import Known, News, is_last, news, vanished

WRITTEN = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
END = values.micros(WRITTEN) + 999_999
LATER = WRITTEN + timedelta(hours=1)


def a_row(name: str = "Ada", at: datetime = WRITTEN, *, deleted: bool = False) -> rows.Row:
    raw = {"id": 8, "name": name, "update_time": at.isoformat(), "is_deleted": deleted}
    return rows.read("person", raw)


def as_told(row: rows.Row, told: News) -> Known:
    return Known("persons", told.version, row.is_deleted, told.version, told.turn, row.digest)


def test_an_unknown_row_is_news() -> None:
    assert news(a_row(), None, LATER) == News(END, 0)


def test_a_row_that_says_what_it_said_is_none() -> None:
    row = a_row()

    assert news(row, as_told(row, News(END, 0)), LATER) is None


def test_a_row_that_only_a_webhook_told_of_is_news() -> None:
    heard = Known("persons", END - 500_000)

    assert news(a_row(), heard, LATER) == News(END, 0)


def test_another_content_under_the_same_time_comes_after_the_first() -> None:
    held = as_told(a_row("Ada"), News(END, 3))

    assert news(a_row("Bea"), held, LATER) == News(END, 4)


def test_a_row_read_long_after_what_was_told_last_comes_after_it() -> None:
    """A webhook names a moment in the second after that of the row's time, as recorded ones do;
    what was written in the row's second thereafter was lost.
    """
    heard = Known("persons", END + 89_000)

    assert news(a_row("Bea"), heard, LATER) == News(heard.version + 1, 0)


def test_a_row_read_shortly_after_what_was_told_last_may_be_older() -> None:
    heard = Known("persons", END + 89_000)

    assert news(a_row("Bea"), heard, WRITTEN + timedelta(seconds=30)) == News(END, 0)


def test_a_row_that_may_be_older_is_told_once_until_it_is_sure() -> None:
    told = News(END, 0)
    heard = as_told(a_row("Bea"), told)._replace(version=END + 89_000, digest=None)
    shortly = WRITTEN + timedelta(seconds=30)

    assert not is_last(told, heard)
    assert news(a_row("Bea"), heard, shortly) is None
    assert news(a_row("Bea"), heard, LATER) == News(heard.version + 1, 0)


def test_a_later_content_begins_anew() -> None:
    held = as_told(a_row("Ada"), News(END, 3))
    minute = timedelta(minutes=1)

    assert news(a_row("Bea", WRITTEN + minute), held, LATER) == News(END + 60_000_000, 0)


def test_a_deletion_is_told_once() -> None:
    gone = a_row(deleted=True)
    alive = as_told(a_row(), News(END - 60_000_000, 0))

    first = news(gone, alive, LATER)

    assert first == News(END, 0)
    assert news(gone, as_told(gone, first), LATER) is None


def test_a_row_read_at_about_the_time_of_its_deletion_is_not_brought_back() -> None:
    deleted = Known("persons", values.micros(LATER), deleted=True)

    assert news(a_row(), deleted, LATER + timedelta(seconds=5)) is None


def test_a_row_that_lives_long_after_its_deletion_has_come_back() -> None:
    deleted = Known("persons", values.micros(LATER), deleted=True)
    asked_at = LATER + timedelta(hours=1)

    assert news(a_row(), deleted, asked_at) == News(values.micros(asked_at), 0)


def test_a_row_edited_after_its_deletion_lives() -> None:
    deleted = Known("persons", END - 1_000_000, deleted=True)

    assert news(a_row(), deleted, WRITTEN + timedelta(seconds=10)) == News(END, 0)


def test_a_vanished_row_is_deleted_as_of_the_walks_beginning() -> None:
    known = as_told(a_row(), News(END, 0))

    assert vanished(known, LATER) == News(values.micros(LATER), 0)


def test_what_a_webhook_told_after_the_walk_began_lives_on() -> None:
    heard = Known("persons", values.micros(LATER) + 5)

    assert vanished(heard, LATER) is None


def test_what_is_known_as_deleted_vanishes_no_more() -> None:
    assert vanished(Known("persons", END, deleted=True), LATER) is None


@given(st.lists(st.sampled_from(["Ada", "Bea", "Cyd"]), min_size=1, max_size=8))
def test_contents_read_one_after_another_are_told_in_that_order(names: list[str]) -> None:
    known: Known | None = None
    stamps: list[tuple[int, int]] = []
    for name in names:
        row = a_row(name)
        told = news(row, known, LATER)
        if told is not None:
            stamps.append(tuple(told))
            known = as_told(row, told)

    assert stamps == sorted(set(stamps))
    assert known is not None
    assert known.digest == a_row(names[-1]).digest

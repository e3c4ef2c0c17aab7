"""A rebuild's progress is told in one line that can be believed."""

from shared.rebuild.progress import Progress


def test_it_says_how_far_and_how_long() -> None:
    progress = Progress()
    progress.look(0, 100_000, now=0.0)
    progress.look(25_000, 100_000, now=10.0)

    assert progress.line() == (
        "[#######                       ]  25.0 %  25,000 of 100,000 records"
        "  2,500/s  left: 0:00:30"
    )


def test_the_pace_is_that_of_the_last_seconds() -> None:
    progress = Progress()
    for second in range(100):
        done = 1_000 * min(second, 50) + 10 * max(0, second - 50)
        progress.look(done, 60_000, now=float(second))

    assert progress.per_second == 10


def test_what_cannot_be_known_is_not_told() -> None:
    progress = Progress()
    assert progress.line() == f"[{30 * ' '}]"

    progress.look(0, 0, now=0.0)
    assert progress.line().endswith("0 of 0 records  0/s  caught up")

    progress.look(0, 10, now=1.0)
    assert progress.line().endswith("left: ?")
    assert progress.behind == 10

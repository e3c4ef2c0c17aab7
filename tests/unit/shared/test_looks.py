"""A look at the outbox begins behind what was told long enough ago."""

from shared.outbox import WHOLE_LOOK_S, Looks

SOON = WHOLE_LOOK_S / 10


def test_a_look_passes_what_was_told_before_the_whole_look_before_the_last() -> None:
    looks = Looks()
    begun = [looks.begin(0.0)]
    looks.told(100)
    begun.append(looks.begin(SOON))
    begun.append(looks.begin(WHOLE_LOOK_S))
    looks.told(200)
    begun.append(looks.begin(WHOLE_LOOK_S + SOON))

    begun.append(looks.begin(2 * WHOLE_LOOK_S))
    begun.append(looks.begin(2 * WHOLE_LOOK_S + SOON))

    assert begun == [0, 0, 0, 0, 0, 100]


def test_what_took_long_to_its_commit_is_found_by_the_whole_look() -> None:
    looks = Looks()
    for times in range(5):
        looks.begin(times * WHOLE_LOOK_S)
        looks.told(1_000 * (times + 1))

    assert looks.begin(4 * WHOLE_LOOK_S + SOON) == 3_000
    assert looks.begin(5 * WHOLE_LOOK_S) == 0


def test_places_that_began_anew_are_looked_at_soon_again() -> None:
    looks = Looks()
    for times in range(3):
        looks.begin(times * WHOLE_LOOK_S)
        looks.told(1_000_000)

    for times in range(3, 6):
        looks.begin(times * WHOLE_LOOK_S)
        looks.told(times)

    assert looks.begin(5 * WHOLE_LOOK_S + SOON) == 3

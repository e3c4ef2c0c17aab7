"""When rows of a company are not asked for what webhooks leave out."""

from pydantic import SecretStr

from services.ingest.sync.completing import A_DAY_S, ENOUGH, ROUNDS, Hope

TOKEN = SecretStr("a token"), "acme.pipedrive.com"
PERSONS = (7001, "person", TOKEN)
NOW = 1_000.0


def test_a_few_rows_without_more_prove_nothing() -> None:
    hope = Hope()

    hope.learn(PERSONS, [False] * (ENOUGH - 1), now=NOW)

    assert hope.is_there(PERSONS, now=NOW)


def test_a_hundred_in_a_row_end_it_for_a_day_and_for_these_rows_alone() -> None:
    hope = Hope()

    hope.learn(PERSONS, [False] * (ENOUGH - 1), now=NOW)
    hope.learn(PERSONS, [False], now=NOW)

    assert not hope.is_there(PERSONS, now=NOW + A_DAY_S - 1)
    assert hope.is_there(PERSONS, now=NOW + A_DAY_S)
    assert hope.is_there((7001, "organization", TOKEN), now=NOW)


def test_one_row_that_has_more_begins_the_count_anew() -> None:
    hope = Hope()

    hope.learn(PERSONS, [False] * (ENOUGH - 1), now=NOW)
    hope.learn(PERSONS, [True], now=NOW)
    hope.learn(PERSONS, [False] * (ENOUGH - 1), now=NOW)

    assert hope.is_there(PERSONS, now=NOW)


def test_what_is_given_up_for_a_day_is_not_where_there_is_another_token() -> None:
    hope = Hope()

    hope.give_up(PERSONS, now=NOW)

    assert not hope.is_there(PERSONS, now=NOW + A_DAY_S - 1)
    assert hope.is_there(PERSONS, now=NOW + A_DAY_S)
    assert hope.is_there((7001, "person", (SecretStr("another"), TOKEN[1])), now=NOW)


def test_an_answer_in_between_begins_the_count_of_silent_rounds_anew() -> None:
    hope = Hope()
    before = [hope.waits(PERSONS) for _ in range(ROUNDS - 1)]

    hope.learn(PERSONS, [True], now=NOW)

    assert [*before, *(hope.waits(PERSONS) for _ in range(ROUNDS - 1))] == [True] * len(before) * 2
    assert [hope.waits(PERSONS), hope.waits(PERSONS)] == [False, True]

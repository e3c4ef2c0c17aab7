"""What topics are made like."""

import pytest

from shared import topics
from shared.kafka.client import new_topics
from shared.settings import Settings


@pytest.mark.parametrize(("copies", "least"), [(1, "1"), (2, "2"), (3, "2"), (5, "2")])
def test_what_is_acked_is_on_two_brokers_where_there_are_as_many(copies: int, least: str) -> None:
    settings = Settings(kafka_replication_factor=copies)

    made = new_topics(settings, topics.ALL, [topics.WEBHOOKS])

    assert {each.replication_factor for each in made} == {copies}
    assert {each.topic_configs["min.insync.replicas"] for each in made} == {least}


def test_letters_are_kept_however_long_the_log_is() -> None:
    settings = Settings(kafka_retention_ms=60_000)

    made = new_topics(settings, [topics.PERSONS, topics.SCORES], [topics.WEBHOOKS])

    kept = {each.name: each.topic_configs.get("retention.ms") for each in made}
    assert kept == {
        "pipedrive.persons": "60000",
        "pipedrive.persons.dlq": "-1",
        "scoring.scores": None,
        "scoring.scores.dlq": "-1",
        "pipedrive.webhooks.dlq": "-1",
    }

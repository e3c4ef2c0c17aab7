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

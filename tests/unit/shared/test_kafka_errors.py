"""What of the Kafka client's failures counts as an outage."""

import pytest
from aiokafka.client import AIOKafkaClient, CoordinationType

from shared.errors import Unavailable
from shared.kafka import client


async def test_a_cluster_that_names_no_broker_is_away() -> None:
    knows_nobody = AIOKafkaClient()

    with pytest.raises(Unavailable, match="no broker"), client.errors():
        await knows_nobody.coordinator_lookup(CoordinationType.TRANSACTION, "any")


def test_an_assertion_of_ours_is_no_outage() -> None:
    with pytest.raises(AssertionError, match="ours"), client.errors():
        raise AssertionError("ours")

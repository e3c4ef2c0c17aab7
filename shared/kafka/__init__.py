"""Kafka, as services need it: a publisher, a consumer, and tools to read the log and consumers'
lag. The only user of aiokafka.
"""

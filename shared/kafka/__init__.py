"""Kafka, as services need it: a publisher, a consumer, and looks at the log and at how far others
have read it. Sole user of aiokafka.
"""

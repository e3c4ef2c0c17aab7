"""Kafka, behind two things a service needs: a publisher and a consumer. Sole user of aiokafka."""

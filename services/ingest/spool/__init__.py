"""Where records wait on disk while Kafka does not take them, and how they leave again."""

"""Where records wait on disk while Kafka does not accept them, and how they leave again."""

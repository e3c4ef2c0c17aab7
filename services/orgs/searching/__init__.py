"""Organizations as somebody types their names: the index of words, and what reads and keeps it."""

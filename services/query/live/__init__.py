"""What is told as it happens: the log of changes, the streams that follow it, readers who wait."""

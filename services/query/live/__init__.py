"""Live updates: the log of changes, the streams that follow it, readers who wait for a change."""

"""Search over a user's contacts: an inverted index of bitmaps, and what reads and keeps it."""

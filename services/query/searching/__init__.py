"""Search over a user's contacts: an inverted index of bitmaps, its readers and its upkeep."""

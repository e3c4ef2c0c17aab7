"""Autocomplete of organization names: the index of words, with what reads and maintains it."""

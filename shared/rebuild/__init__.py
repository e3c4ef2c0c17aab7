"""Rebuilds a store from the log, beside the live one, and puts it in its place."""

"""Builds a store anew from the log, beside the live one, and puts it in its place."""

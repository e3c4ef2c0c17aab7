"""Rebuilds a store from the log, beside the live one, and replaces that one."""

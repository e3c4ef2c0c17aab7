"""The organization store: which records are one organization, and which contacts belong to it."""

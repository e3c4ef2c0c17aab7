"""Who may read, from which devices: users, tokens, revocations."""

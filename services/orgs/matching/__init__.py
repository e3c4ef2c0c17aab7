"""Do two records mean one organization: keys, features, score, decision. Pure."""

"""A double of Pipedrive: a company's seeded history, its webhooks, and their delivery."""

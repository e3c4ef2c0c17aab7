"""A double of Pipedrive: a company's seeded life, its webhooks, and their delivery."""

"""Pipedrive's REST API as one company's client, within the company's token budget."""

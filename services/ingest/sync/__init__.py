"""Keeps what we hold of a company in step with what Pipedrive holds, by its REST API."""

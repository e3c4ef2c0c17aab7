"""The double's REST API: lists, single objects, writes, webhooks, limits, and broken answers."""

"""Real servers and the running system without Docker. Nothing outside the checkout is written."""

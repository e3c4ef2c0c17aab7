"""What to do with dead letters: look at them, replay them, drop them."""

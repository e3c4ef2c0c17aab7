"""What people decide about organizations, and what they are asked: reviews, verdicts, merges."""

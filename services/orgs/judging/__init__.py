"""What people say about organizations, and what they are asked: reviews, verdicts, merges."""

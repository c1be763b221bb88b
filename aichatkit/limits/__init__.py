"""When to try again, how fast to ask, and whom to skip for a while."""

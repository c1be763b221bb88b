"""When to retry, how fast to send, and what to skip for a while."""

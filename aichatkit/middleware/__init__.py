"""What wraps a call: observers, the cache, budgets, and rounds of tools."""

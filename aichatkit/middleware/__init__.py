"""Layers around a call: observers, the cache, budgets, and tool calling."""

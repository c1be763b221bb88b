"""Prompt caching: where a prompt is marked for the cache of its service, and when that pays."""

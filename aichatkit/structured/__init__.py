"""Structured output: types -> JSON schema, and JSON -> values of these types."""

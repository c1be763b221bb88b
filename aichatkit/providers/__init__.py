"""Providers, one module each, imported on first use."""

"""Output for terminals and notebooks."""

"""Many prompts in one run: rows in, results out."""

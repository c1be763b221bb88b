"""Batch jobs of the services under `map`: rows -> jobs -> answers, each step in the journal before it is taken."""

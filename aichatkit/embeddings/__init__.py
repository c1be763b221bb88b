"""Texts -> vectors: the embeddings endpoints of the services, in batches, with a journal."""

"""Embeddings of what a mask shows."""

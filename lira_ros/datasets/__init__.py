"""Readers of recordings and generated rooms, all behind one Sequence (floor 1)."""

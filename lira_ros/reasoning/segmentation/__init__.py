"""Boxes, points and phrases become masks."""

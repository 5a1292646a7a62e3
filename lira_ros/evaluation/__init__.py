"""Metrics, protocols, runners and reports (floor 4)."""

"""The lira command."""

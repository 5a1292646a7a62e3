"""Candidates and fragments become instances, judged against the instruction (floor 2)."""

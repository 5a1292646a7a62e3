"""Mapping, reasoning and fusion in one process without ROS (floor 3)."""

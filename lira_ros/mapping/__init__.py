"""Frames with poses become a sparse TSDF, keyframes and fragments (floor 1)."""

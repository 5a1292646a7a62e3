"""An instruction and a keyframe become candidate instances (floor 1)."""

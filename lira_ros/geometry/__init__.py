"""Camera, poses, frames, depth: the types that every other room speaks (floor 0)."""

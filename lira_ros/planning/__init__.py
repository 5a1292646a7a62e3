"""What planners need of the instances: goals beside one, filter masks, meshes for collision checks, searches."""

"""What can be done to checkpoints: one action a file, found by itself."""

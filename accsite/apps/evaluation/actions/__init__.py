"""What can be done to checkpoints once they can be measured: one action a file."""

"""What can be done to branches: one action a file, found by itself."""

"""What can be done to branches, and to jobs that train: one action a file, found by itself."""

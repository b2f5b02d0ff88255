"""What can be done to workers and jobs: one action a file, found by itself."""

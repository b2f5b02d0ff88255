"""What can be done to experiments, branches, tasks and checkpoints: one action a file, found by itself."""

"""Everything that changes branches, tasks and their jobs: one transaction a function."""

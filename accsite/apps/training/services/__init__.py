"""Everything that changes experiments, branches, tasks, jobs and workers: one transaction a function."""

"""Everything that changes experiments, branches, tasks, jobs and workers. Each function is one transaction."""

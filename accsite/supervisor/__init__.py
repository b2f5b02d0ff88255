"""Runs the platform's processes on one machine: Redis, web, workers, sweeper and watcher under one parent."""

"""Forks: how a worker has its processes made, and what keeps a copy of one from taking it for its own."""

"""Experiments and checkpoints in the admin: operators look at them here, and act through the services."""

from accsite.apps.trees.admin import checkpoints, experiments

__all__ = ["checkpoints", "experiments"]

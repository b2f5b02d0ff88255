"""Everything of training in the admin: operators look at it here, and act through the services."""

from accsite.apps.training.admin import branches, curve, points

__all__ = ["branches", "curve", "points"]

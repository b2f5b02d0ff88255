"""Everything of training in the admin: operators look at it here, and act through the services."""

from accsite.apps.training.admin import curve, points, trees

__all__ = ["curve", "points", "trees"]

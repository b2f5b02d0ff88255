"""Rows that the tests of studies begin with: those of training."""

from accsite.apps.training.tests.conftest import branch, page, plugins, user

__all__ = ["branch", "page", "plugins", "user"]

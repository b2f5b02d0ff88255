"""Rows that the tests of trees begin with: those of training."""

from accsite.apps.training.tests.conftest import branch, dataset, make_job, page, plugins, task, user, worker

__all__ = ["branch", "dataset", "make_job", "page", "plugins", "task", "user", "worker"]

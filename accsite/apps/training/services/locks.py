"""Rows that are locked before what hangs on them is changed."""

from __future__ import annotations

from accsite.apps.training.models import Branch, Experiment


def lock_experiment(experiment_id: int) -> Experiment:
    """Return an experiment, its row locked to the end of the transaction: its tree has one writer at a time.

    It is locked before any of its branches.
    """
    return Experiment.objects.select_for_update(no_key=True).get(pk=experiment_id)


def lock_branch(branch_id: int) -> Branch:
    """Return a branch, its row locked to the end of the transaction; what refers to it may still be written.

    Rows are locked in one order everywhere: the branch, then its jobs, then the topics.
    """
    return Branch.objects.select_for_update(no_key=True).get(pk=branch_id)

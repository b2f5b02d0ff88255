"""Removes a whole experiment for good, or the jobs that belong to none: what was made only for a trial."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from django.db import transaction

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Branch, Checkpoint, Experiment, TrackedRun
from accsite.apps.training.services.checkpoints import delete_unused
from accsite.apps.training.services.locks import lock_experiment
from accsite.apps.training.services.tracked import drop_weights
from accsite.apps.trees.services.deletion import purging
from accsite.errors import WrongState


@unit_of_work()
def remove_experiment(experiment: Experiment) -> None:
    """Remove an experiment with its branches, tasks, jobs, loss points, checkpoints and their files.

    It cannot be undone. Raises WrongState while one of its jobs has not ended.
    """
    lock_experiment(experiment.pk)
    busy = Job.objects.active().filter(branch__experiment=experiment).order_by("pk").first()
    if busy is not None:
        raise WrongState({"experiment": f"job {busy.pk} of {experiment.name!r} has not ended; stop it first"})
    nodes = Checkpoint.everything.filter(experiment=experiment)
    files = set(nodes.values_list("file", flat=True))
    runs = TrackedRun.objects.filter(job__branch__experiment=experiment)
    waiting = {sha256 for weights in runs.values_list("weights", flat=True) for sha256 in weights}
    purging.send(Checkpoint, checkpoints=list(nodes.values_list("pk", flat=True)))
    Branch.objects.filter(experiment=experiment).update(head=None, forked_from=None)
    nodes.update(parent=None)
    nodes.delete()
    experiment.delete()
    for file in files:
        transaction.on_commit(partial(delete_unused, file), robust=True)
    for sha256 in waiting:
        drop_weights(sha256)
    touch("experiments", "jobs")


@unit_of_work()
def remove_jobs(jobs: Collection[int]) -> None:
    """Remove jobs that have ended and belong to no branch, such as those that made a dataset."""
    Job.objects.filter(pk__in=jobs, branch=None).exclude(pk__in=Job.objects.active().values("pk")).delete()
    touch("jobs")

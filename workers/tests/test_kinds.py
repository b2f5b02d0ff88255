"""Every kind of job is known to the site, and has a body that workers can run."""

from __future__ import annotations

import pytest

from acc.errors import AccError
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import JobKind
from workers import launch, runner


def test_each_kind_of_job_has_a_class_and_a_body():
    assert set(JobKind) <= set(kinds.KINDS)
    done_by_workers = [name for name, kind in kinds.KINDS.items() if kind.queue]
    assert set(kinds.KINDS) - set(done_by_workers) == {JobKind.TRACK}  # its loop is not ACC's
    for kind in done_by_workers:
        assert runner.body_of(kind).__module__.startswith("workers.kinds.")


def test_each_queue_of_a_kind_is_one_that_workers_serve():
    assert set(kinds.queues()) == set(launch.QUEUES)


def test_a_kind_that_nothing_runs_is_refused_with_those_there_are():
    with pytest.raises(
        AccError, match=r"jobs of kind 'dream' cannot be run; there are: evaluate, expand, generate"
    ):
        runner.body_of("dream")

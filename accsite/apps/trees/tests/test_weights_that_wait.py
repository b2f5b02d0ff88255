"""Weights of a loop that have no checkpoint yet are its experiment's, and go with it."""

from __future__ import annotations

import pytest
from django.test import TestCase

from accsite.apps.jobs.models import Job
from accsite.apps.training.tests.test_tracked_runs import Loop, sent, stored
from accsite.apps.trees.services.removal import remove_experiment

pytestmark = pytest.mark.django_db


def test_weights_that_wait_go_with_their_experiment(django_user_model, tmp_path):
    loop = Loop(django_user_model.objects.create_user("ann"))
    alone = sent(loop, tmp_path, "Gone")
    assert alone in stored()
    Job.objects.update(state="LOST")
    assert loop.job.branch is not None
    with TestCase.captureOnCommitCallbacks(execute=True):
        remove_experiment(loop.job.branch.experiment)
    assert alone not in stored()

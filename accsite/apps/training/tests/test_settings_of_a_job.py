"""What a job was asked to do, in words; and no empty place where nothing can be done to it any more."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accsite.apps.jobs.models import JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.training.pages.jobs import spec_parts
from accsite.apps.training.tests.rows import MODEL, make_branch, make_job
from accsite.tests.markup import folded

pytestmark = pytest.mark.django_db


@pytest.fixture
def branch(django_user_model):
    return make_branch(django_user_model.objects.create_superuser("ada"))


def test_each_object_of_a_specification_is_a_part_under_its_name_and_said_in_words(branch):
    targets = [
        {
            "name": "digit",
            "kind": "class",
            "classes": 10,
            "labels": None,
            "min": None,
            "max": None,
            "unit": "",
        },
        {
            "name": "slant",
            "kind": "real",
            "classes": None,
            "labels": None,
            "min": -0.3,
            "max": 1,
            "unit": "rad",
        },
    ]
    spec = {
        "model": MODEL,
        "tasks": [{"key": "kl", "name": "KL", "weight": 0.5}],
        "datasets": {"digits": {"name": "Digits", "sha256": "ab", "n": 20, "targets": targets}},
        "on_cpu": {"threads": 2},
    }
    parts = {part.title: dict(part.values) for part in spec_parts(make_job(branch, spec=spec))}
    assert list(parts) == ["Model", "Task KL", "Dataset Digits", "On cpu"]
    assert parts["Model"]["factor groups"] == "digit 0:6, free 6:16"
    assert parts["Dataset Digits"]["targets"] == "digit (10 classes), slant (real, -0.3 to 1 rad)"
    assert "sha256" not in parts["Dataset Digits"]


def test_a_job_that_nothing_can_be_done_to_has_no_empty_place_for_it(branch, client):
    client.force_login(branch.experiment.owner)
    for state, is_hidden in ((JobState.SUCCEEDED, True), (JobState.FAILED, False)):
        job = make_job(branch, kind=JobKind.EVALUATE, state=state)
        place = folded(client.get(reverse("training:job", args=[job.pk]))).split('id="actions"')[1]
        assert (" hidden" in place.split(">")[0]) == is_hidden, state

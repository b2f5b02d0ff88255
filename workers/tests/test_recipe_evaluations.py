"""A recipe's evaluation: on any dataset, not repeated, and each number under a name of its own."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from acc.specs import EvalJobSpec
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.services import ask
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services.recipe_steps import Submitted
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import looked_at
from accsite.apps.training.tests import rows
from workers.recipes.verbs import Evaluate

GRID: dict[str, Any] = {"dataset": "factor-grid", "concepts": ["digit", "size"]}


@pytest.fixture(autouse=True)
def _weights_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accsite.apps.training.services.experiments.require_intact", lambda *_: None)


@pytest.fixture
def checkpoint(db: None) -> Checkpoint:
    return rows.make_checkpoint(rows.make_branch(None))


def asked(checkpoint: Checkpoint, *suite: str, path: str = "0", **options: Any) -> Submitted:
    """Return what the verb does at a step of a run."""
    args = {"checkpoint": checkpoint.pk, "suite": list(suite), "options": options}
    return Evaluate(RecipeRun(pk=1), "evaluate", args).act(RecipeStep(path=path))


def test_suite_dataset_and_concepts_reach_the_job(checkpoint: Checkpoint) -> None:
    rows.make_dataset("factor-grid")
    job = asked(checkpoint, "metrics", "ufr", **GRID).job
    assert job.spec["suite"] == ["metrics", "ufr"]
    assert (job.spec["dataset"], job.spec["concepts"]) == ("factor-grid", ["digit", "size"])
    other = looked_at.other_dataset(checkpoint, job.spec["dataset"], removed=True)
    assert other is not None
    assert other.slug == "factor-grid", "the worker loads what the checkpoint does not carry"


def test_what_waits_is_waited_for_and_not_asked_again(checkpoint: Checkpoint) -> None:
    rows.make_dataset("factor-grid")
    first = asked(checkpoint, "metrics", "ufr", **GRID)
    again = asked(checkpoint, "ufr", path="1", **GRID)
    other = asked(checkpoint, "ufr", path="2", match=True, **GRID)
    assert (first.owned, again.owned, other.owned) == (True, False, True)
    assert again.job == first.job != other.job


def test_what_was_measured_with_these_options_is_not_measured_again(checkpoint: Checkpoint) -> None:
    rows.make_dataset("factor-grid")
    job = asked(checkpoint, "ufr", **GRID).job
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    kept = made(checkpoint, job)
    spec = asked_spec(job)
    kept.parts.create(name="ufr", key=part_key(checkpoint, spec, "ufr"))
    found = asked(checkpoint, "ufr", path="1", **GRID)
    assert (found.job, found.owned) == (job, False)


def test_each_number_has_a_name_of_its_own(checkpoint: Checkpoint) -> None:
    job = rows.make_job(checkpoint.branch, kind=JobKind.EVALUATE, checkpoint=checkpoint)
    kept = made(checkpoint, job)
    for name, concept, group, value in (
        ("ufr", "", "", 0.5),
        ("ufr_unified", "digit", "digit", 0.9),
        ("ufr_unified", "size", "", 0.1),
        ("skill_within", "digit", "size", 0.2),
        ("skill_within", "digit", "digit", 0.8),
    ):
        Metric.objects.create(evaluation=kept, name=name, concept=concept, group=group, value=value)
    why = "no rows are held out"
    Metric.objects.create(evaluation=kept, task_key="digit", name="accuracy", value=None, reason=why)
    found = Evaluate(RecipeRun(pk=1), "evaluate", {}).outcome(job).result
    assert found["reasons"] == {"digit/accuracy": why}
    assert found["metrics"] == {
        "ufr": 0.5,
        "ufr_unified/digit/digit": 0.9,
        "ufr_unified/size": 0.1,
        "skill_within/digit/size": 0.2,
        "skill_within/digit/digit": 0.8,
        "digit/accuracy": None,
    }
    assert len({metric.called for metric in kept.metrics.all()}) == kept.metrics.count()


@pytest.mark.parametrize("slug", ["nowhere", "wide"])
def test_a_dataset_that_cannot_be_looked_at_is_refused_before_a_job_is_made(
    checkpoint: Checkpoint, slug: str
) -> None:
    rows.make_dataset("wide", width=48)
    with pytest.raises(InvalidInput) as refused:
        ask(actor=None, checkpoint=checkpoint, eval={"suite": ["ufr"], "dataset": slug})
    (sentence,) = refused.value.fields["dataset"]
    assert repr(slug) in sentence
    assert ("known: wide" if slug == "nowhere" else "this model sees 1 x 32 x 32") in sentence
    assert not Job.objects.exists()


def test_other_content_under_the_same_name_is_another_question(checkpoint: Checkpoint) -> None:
    data = rows.make_dataset("factor-grid")
    spec = asked_spec(asked(checkpoint, "ufr", **GRID).job)
    before = part_key(checkpoint, spec, "ufr")
    type(data).every.filter(pk=data.pk).update(content_hash="0" * 64)
    assert part_key(checkpoint, spec, "ufr") != before


def asked_spec(job: Job) -> EvalJobSpec:
    """Return the options of a job."""
    return EvalJobSpec.model_validate(job.spec)


def made(checkpoint: Checkpoint, job: Job) -> Evaluation:
    """Return what a worker kept of a checkpoint."""
    branch: Branch = checkpoint.branch
    return Evaluation.objects.create(job=job, branch=branch, checkpoint=checkpoint, step=checkpoint.step)

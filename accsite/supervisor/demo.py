"""The demo: real digits, an experiment with named factors, one training job; found again next time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage

from acc.errors import AccError
from acc.training.losses import series
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import generation
from accsite.apps.datasets.services.generation import DatasetExists
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import ACTIVE, TERMINAL, JobState
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.services import experiments, jobs, tasks
from accsite.apps.training.services.beginnings import FIRST_TASKS

DATASET_NAME, DATASET_SLUG = "Handwritten digits", "handwritten-digits"
GENERATOR = "HandwrittenDigits"
EXPERIMENT, BRANCH = "digits", "main"
STEPS = 3000
TASKS: tuple[dict[str, Any], ...] = (
    *FIRST_TASKS,
    {"name": "Digit", "task_class": "ClassificationTask", "factor": "digit"},
)
MODEL: dict[str, Any] = {
    "architecture": "FactorSlotAutoencoder",
    "image": {"channels": 1, "height": 32, "width": 32},
    "latent_dim": 16,
    "factor_groups": [
        {"name": "digit", "start": 0, "end": 6},
        {"name": "thickness", "start": 6, "end": 8},
        {"name": "slant", "start": 8, "end": 10},
        {"name": "free", "start": 10, "end": 16},
    ],
}

PLUGIN_SECONDS = 120.0


class Wait(Protocol):
    """Returns whether a condition came to hold within ``seconds`` (None: no limit)."""

    def __call__(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool: ...


@dataclass(frozen=True)
class Administrator:
    """The demo's administrator; ``password`` only if it was made just now."""

    user: Any
    password: str = ""


def ensure_administrator() -> Administrator:
    """Return the user ``admin``, made with a password of its own if it does not exist yet."""
    model = get_user_model()
    user = model.objects.filter(username="admin").first()
    if user is not None:
        return Administrator(user)
    password = secrets.token_urlsafe(12)
    return Administrator(model.objects.create_superuser("admin", password=password), password)


def wait_for_plugins(wait: Wait) -> None:
    """Return when the watcher has told the registry of every plugin that the demo needs; raises AccError."""
    needed = {GENERATOR, str(MODEL["architecture"]), *(str(task["task_class"]) for task in TASKS)}

    def missing() -> set[str]:
        return needed - set(
            Plugin.objects.filter(name__in=needed, available=True).values_list("name", flat=True)
        )

    if not wait(lambda: not missing(), seconds=PLUGIN_SECONDS):
        raise AccError(
            f"the plugins {', '.join(sorted(missing()))} were not loaded within {PLUGIN_SECONDS:g} s; what the "
            "watcher said is above, and `manage.py plugins` shows what it found"
        )


def ensure_dataset(actor: Any, wait: Wait) -> Dataset:
    """Return the digits, made by a generate job on the default queue if they are not there yet."""
    found = Dataset.objects.filter(slug=DATASET_SLUG).first()
    if found is not None:
        return found
    # One that a former run left behind goes on by itself.
    job = Job.objects.filter(kind=JobKind.GENERATE, state__in=ACTIVE, spec__name=DATASET_NAME).first()
    try:
        job = job or generation.submit_generation(
            actor=actor, generator=GENERATOR, params={}, n=None, seed=0, name=DATASET_NAME
        )
    except DatasetExists as made:  # by somebody, and under another name
        return Dataset.objects.get(slug=made.existing)
    job = finished(job, wait)
    if job.state != JobState.SUCCEEDED:
        raise AccError(f"the dataset could not be made: job {job.pk} {job.state}: {job.message}")
    return Dataset.objects.get(pk=job.result["dataset"])


def ensure_branch(actor: Any, dataset: Dataset) -> Branch:
    """Return the branch digits/main with its three tasks, made if it does not exist yet."""
    branch = Branch.objects.filter(experiment__slug=EXPERIMENT, slug=BRANCH).first()
    if branch is None:
        experiment = Experiment.objects.filter(slug=EXPERIMENT).first() or experiments.create_experiment(
            actor=actor, name=EXPERIMENT, model=MODEL
        )
        # The one that is called main now may be called otherwise; it is still the first.
        branch = experiment.branches.order_by("pk").first()
        if branch is None:
            raise AccError(
                f"the experiment {EXPERIMENT!r} has no branch any more; make one in the browser, or rename the "
                "experiment so that the demo makes its own"
            )
    # Tasks that the user removed stay removed: only a branch that never had any is given the demo's.
    if not branch.tasks.exists():
        for task in TASKS:
            tasks.add_task(actor=actor, branch=branch, dataset=dataset, **task)
    return branch


def ensure_training(actor: Any, branch: Branch, *, steps: int) -> Job:
    """Return the branch's train job: the one in progress, else one that succeeded, else a new one."""
    trained = Job.objects.filter(branch=branch, kind=JobKind.TRAIN)
    found = (
        trained.filter(state__in=ACTIVE).order_by("-id").first()
        or trained.filter(state=JobState.SUCCEEDED).order_by("-id").first()
    )
    return found or jobs.submit_training(actor=actor, branch=branch, train={"steps": steps})


def finished(job: Job, wait: Wait) -> Job:
    """Return ``job`` as it is at its end."""

    def ended() -> bool:
        job.refresh_from_db()
        return job.state in TERMINAL

    wait(ended)
    return job


def evaluated(job: Job, wait: Wait) -> Evaluation | None:
    """Return the evaluation of the checkpoint that ``job`` ended with, waiting for it; None if it failed."""
    checkpoint = job.checkpoints.order_by("-job_step", "-id").first()
    evaluation_job = Job.objects.filter(kind=JobKind.EVALUATE, checkpoint=checkpoint).order_by("-id").first()
    if checkpoint is None or evaluation_job is None:
        return None
    finished(evaluation_job, wait)
    return Evaluation.objects.filter(job=evaluation_job).first()


def summary(job: Job, evaluation: Evaluation | None) -> Iterator[str]:
    """Yield what came out, each number with what it is of: steps, rate, losses, checkpoint, metrics, pictures."""
    yield f"job {job.pk} {job.get_state_display()}: {job.title}"
    if job.message:
        yield f"  {job.message}"
    yield f"  steps            {job.step} of {job.total_steps}"
    rate = job.result.get("steps_per_second") or job.steps_per_second
    if rate:
        yield f"  steps/s          {rate:.1f}"
    checkpoint = job.checkpoints.order_by("-job_step", "-id").first()
    if checkpoint is not None:
        for task in checkpoint.spec["tasks"]:
            value = checkpoint.losses.get(series.raw(task["key"]))
            if value is not None:
                yield f"  loss             {task['name']} at step {checkpoint.step:,}, unweighted: {value:.5g}"
        yield f"  checkpoint       {default_storage.path(checkpoint.file)}"
        yield f"  sha256           {checkpoint.sha256}"
    if evaluation is not None:
        for metric in evaluation.metrics.all():
            value = f"{metric.value:.4g}" if metric.value is not None else f"none: {metric.reason}"
            yield f"  metric           {metric.words}: {value}"
        for artifact in evaluation.artifacts.filter(kind="reconstructions"):
            yield f"  reconstructions  {default_storage.path(artifact.file)}"

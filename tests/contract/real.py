"""A small experiment that is really trained, by the body that a worker runs, in the test's own process."""

from __future__ import annotations

from typing import Any, Literal

from django.utils import timezone

from acc.plugins.load import built_in_models
from acc.tests import helpers
from accsite import blobs
from accsite.apps.datasets import services as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, workers
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import Plugin, PluginSource
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.services import jobs
from accsite.apps.training.services.tasks import add_task
from workers import runner
from workers.job.context import JobContext
from workers.job.interruption import Interruption
from workers.job.lease import Lease


def keep_plugins() -> None:
    """Write the rows of the shipped tasks and of the built-in models, as the watcher does."""
    for found in [*helpers.shipped_classes(), *built_in_models()]:
        source, _ = PluginSource.objects.get_or_create(
            sha256=found.sha256,
            defaults={"path": found.path, "text": found.source, "on_disk_at": timezone.now()},
        )
        Plugin.objects.update_or_create(
            kind=found.kind,
            name=found.name,
            defaults={
                "label": found.name,
                "source": source,
                "path": found.path,
                "params": [param.as_dict() for param in found.params],
                "requires": found.requires,
            },
        )


def make_worker(name: str = "w") -> Worker:
    """Return an online worker of all queues."""
    return workers.register(
        name=name, hostname="h", pid=1, device="cpu", queues=["train", "eval", "default"], telemetry={}
    )


def make_dataset(seed: int = 0) -> Dataset:
    """Return a stored dataset of 64 blobs with a class and a real target."""
    path = blobs.scratch() / f"real-{seed}.safetensors"
    helpers.blobs(64, seed=seed).save(path)
    return datasets.create_dataset(actor=None, name=f"Blobs {seed}", dataset_path=path, provenance={})


def make_branch(dataset: Dataset, slug: str = "real") -> Branch:
    """Return branch main of a new experiment with a reconstruction and a classification task."""
    model = helpers.model_spec().model_dump(mode="json")
    experiment = Experiment.objects.create(name=slug, slug=slug, model_spec=model)
    branch = Branch.objects.create(experiment=experiment, name="main", slug="main")
    add_task(actor=None, branch=branch, task_class="ReconstructionTask", dataset=dataset, weight=10.0)
    add_task(actor=None, branch=branch, task_class="ClassificationTask", dataset=dataset, factor="digit")
    return branch


def run(job: Job, worker: Worker, *, asked: Literal["stop", "drain"] | None = None) -> Job:
    """Claim a job and run it to its end; return its row. asked: what is asked of it as soon as it is claimed."""
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    interruption = Interruption()
    if asked:
        interruption.reason = asked
    with Lease(job.pk, claim.attempt) as lease:
        runner.run(JobContext(claim.job, claim.attempt, worker.name, "cpu", lease, interruption))
    return Job.objects.get(pk=job.pk)


def train(branch: Branch, worker: Worker, **spec: Any) -> Checkpoint:
    """Train a branch for a few steps and return its new head."""
    fields = {"steps": 6, "batch_size": 16, "device": "cpu", "threads": 1, "val_fraction": 0.25, **spec}
    job = run(jobs.submit_training(actor=None, branch=branch, train=fields), worker)
    assert job.state == JobState.SUCCEEDED, job.message
    branch.refresh_from_db()
    assert branch.head is not None
    return branch.head

"""Makes rows for tests, without going through the services that are tested."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from acc.params import Param
from acc.specs import ModelSpec, TrainJobSpec, TrainSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Experiment, Task

MODEL: dict[str, Any] = {
    "architecture": "FactorSlotAutoencoder",
    "image": {"channels": 1, "height": 32, "width": 32},
    "latent_dim": 16,
    "factor_groups": [{"name": "digit", "start": 0, "end": 6}, {"name": "free", "start": 6, "end": 16}],
    "params": {"base_channels": 8},
}
TARGETS = [
    {"name": "digit", "kind": "class", "classes": 10, "mean": 4.5},
    {"name": "slant", "kind": "real", "min": -1.0, "max": 1.0},
]


def sha(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_plugin(kind: PluginKind, name: str, *, params: list[Param] | None = None, **fields: Any) -> Plugin:
    """Return a plugin row with a source of its own."""
    text = f"class {name}: ...\n"
    source, _ = PluginSource.objects.get_or_create(
        sha256=sha(text), defaults={"path": f"{name}.py", "text": text, "on_disk_at": timezone.now()}
    )
    declared = [param.as_dict() for param in params or []]
    values = {"label": name, "source": source, "params": declared, **fields}
    return Plugin.objects.update_or_create(kind=kind, name=name, defaults=values)[0]


def named(name: str, default: Any, **limits: Any) -> Param:
    """Return a parameter as if declared on a class under ``name``."""
    param = Param(default, **limits)
    param.__set_name__(object, name)
    return param


def make_plugins() -> dict[str, Plugin]:
    """Return plugin rows by class name."""
    target = [named("target_name", "")]
    made = [
        make_plugin(
            PluginKind.TASK,
            "ReconstructionTask",
            label="Reconstruction",
            requires={"reconstruction": True, "whole_latent": True},
        ),
        make_plugin(PluginKind.TASK, "KLDivergenceTask", label="KL divergence", requires={"posterior": True}),
        make_plugin(
            PluginKind.TASK,
            "ClassificationTask",
            label="Classification",
            params=target,
            requires={"target": "class"},
        ),
        make_plugin(
            PluginKind.TASK, "RegressionTask", label="Regression", params=target, requires={"target": "real"}
        ),
        make_plugin(
            PluginKind.MODEL,
            "FactorSlotAutoencoder",
            params=[named("base_channels", 8, min=1, max=64)],
            requires={"posterior": True},
        ),
        make_plugin(PluginKind.MODEL, "Autoencoder", requires={"posterior": False}),
        make_plugin(
            PluginKind.GENERATOR,
            "HandwrittenDigits",
            label="Handwritten digits",
            params=[named("size", 32, min=8, max=64)],
        ),
    ]
    return {plugin.name: plugin for plugin in made}


def make_dataset(slug: str = "handwritten-digits", **fields: Any) -> Dataset:
    """Return a dataset row (there is no file behind it)."""
    values = {
        "name": slug.replace("-", " ").capitalize(),
        "file": f"datasets/{sha(slug)}.safetensors",
        "sha256": sha(slug),
        "content_hash": sha(slug + "content"),
        "size_bytes": 1000,
        "n": 100,
        "channels": 1,
        "height": 32,
        "width": 32,
        "dtype": "uint8",
        "targets": TARGETS,
        **fields,
    }
    return Dataset.objects.create(slug=slug, **values)


def make_branch(owner: Any, slug: str = "digits", **fields: Any) -> Branch:
    """Return branch main of a new experiment."""
    model = ModelSpec.model_validate(MODEL).model_dump(mode="json")
    experiment = Experiment.objects.create(name=slug, slug=slug, model_spec=model, owner=owner, **fields)
    return Branch.objects.create(experiment=experiment, name="main", slug="main", created_by=owner)


def make_task(branch: Branch, dataset: Dataset, key: str = "reconstruction", **fields: Any) -> Task:
    """Return a reconstruction task."""
    values = {"name": key.capitalize(), "task_class": "ReconstructionTask", **fields}
    return Task.objects.create(branch=branch, dataset=dataset, key=key, **values)


def make_worker(
    name: str, device: str = "cpu", queues: tuple[str, ...] = ("train", "eval", "default")
) -> Worker:
    """Return an online worker."""
    return Worker.objects.create(
        name=name, hostname="here", pid=1, device=device, queues=list(queues), heartbeat_at=timezone.now()
    )


def make_job(branch: Branch | None = None, *, kind: str = JobKind.TRAIN, **fields: Any) -> Job:
    """Return a queued job without a doorbell."""
    spec = TrainJobSpec(
        model=ModelSpec.model_validate(MODEL),
        tasks=(),
        datasets={},
        train=TrainSpec(steps=fields.get("total_steps") or 10),
    ).model_dump(mode="json")
    queue = {"train": "train", "evaluate": "eval"}.get(kind, "default")
    values = {
        "title": f"a {kind} job",
        "queue": queue,
        "spec": spec if kind == JobKind.TRAIN else {},
        **fields,
    }
    return Job.objects.create(kind=kind, branch=branch, **values)


def make_checkpoint(branch: Branch, job: Job | None = None, **fields: Any) -> Checkpoint:
    """Return a checkpoint row; behind it is a file with the letter c, unless another is named."""
    if not default_storage.exists(f"checkpoints/{sha('c')}.safetensors"):
        default_storage.save(f"checkpoints/{sha('c')}.safetensors", ContentFile(b"c"))
    spec = TrainJobSpec(
        model=ModelSpec.model_validate(MODEL), tasks=(), datasets={}, train=TrainSpec(steps=1)
    )
    values = {
        "kind": CheckpointKind.FINAL,
        "step": 10,
        "job_step": 10,
        "file": f"checkpoints/{sha('c')}.safetensors",
        "sha256": sha("c"),
        "size_bytes": 10,
        "spec": spec.model_dump(mode="json"),
        **fields,
    }
    return Checkpoint.objects.create(experiment=branch.experiment, branch=branch, job=job, **values)


def plant(branches: Sequence[Branch], parents: Sequence[int], *, tasks: int = 4) -> None:
    """Grow a tree in an empty database: node i (from 0) on branch ``i * len(branches) // len(parents)``.

    parents: for each node how many before it its parent stands, 0 for a root. Each is made by a job of its own.
    """
    count, began = len(parents), timezone.now() - timedelta(days=30)
    of = [branches[i * len(branches) // count] for i in range(count)]
    fields: dict[str, Any] = {
        "kind": "train",
        "queue": "train",
        "title": "t",
        "spec": {},
        "state": "SUCCEEDED",
    }
    jobs = Job.objects.bulk_create([Job(branch=branch, **fields) for branch in of])
    raw = {f"raw/task{n}": 0.123456 * n for n in range(tasks)}
    steps: list[int] = []
    for i, back in enumerate(parents):
        steps.append(500 + (steps[i - back] if back else 0))
    nodes = [
        Checkpoint(
            pk=i + 1,
            parent_id=i + 1 - back if back else None,
            experiment=branches[0].experiment,
            branch=of[i],
            job=jobs[i],
            kind="final",
            step=steps[i],
            job_step=500,
            file="x",
            sha256="0" * 64,
            size_bytes=10,
            spec={"model": MODEL, "filler": "x" * 4000},
            losses={"total": 1 / (i + 1), **raw},
            created_at=began + timedelta(seconds=437 * i),
        )
        for i, back in enumerate(parents)
    ]
    moment: Any = Checkpoint._meta.get_field("created_at")
    moment.auto_now_add = False
    try:
        Checkpoint.objects.bulk_create(nodes)
    finally:
        moment.auto_now_add = True

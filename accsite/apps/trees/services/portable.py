"""Checkpoints that travel: exported as one file, imported as an experiment of their own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from acc.bundle import Bundle, BundleError, read_bundle, write_bundle
from acc.errors import CheckpointError, InvalidInput
from acc.expansion import STAGES
from acc.specs import TrainJobSpec
from acc.training.losses import series
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobEvent
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.registry import approval
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Visibility
from accsite.apps.training.services import checkpoints
from accsite.apps.training.services.code import naming_code
from accsite.apps.training.services.experiments import MAIN, free_experiment_slug, new_experiment
from accsite.apps.training.services.intact import require_intact
from accsite.apps.training.services.steering import STEERING
from accsite.apps.training.specs import task_of


@dataclass(frozen=True)
class Imported:
    """What an import made, and in words what of the file could not be brought to life here."""

    checkpoint: Checkpoint
    notes: tuple[str, ...]


def export_checkpoint(*, checkpoint: Checkpoint, path: Path, licence: str = "") -> None:
    """Write a checkpoint as one portable file to ``path``, which appears whole or not at all.

    Raises InvalidInput(checkpoint) for a damaged file, WrongState for a deleted or pruned checkpoint.
    """
    source = require_intact(checkpoint, "checkpoint")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        draft = Path(folder) / "bundle"
        try:
            write_bundle(draft, source, provenance=_provenance(checkpoint), licence=licence)
        except CheckpointError as error:
            raise InvalidInput({"checkpoint": str(error)}) from error
        draft.replace(path)


def import_checkpoint(
    *, actor: Any, path: Path, name: str | None = None, visibility: str = Visibility.SITE
) -> Imported:
    """Return the checkpoint in an exported file, the only node of a new experiment.

    Its plugin sources are kept as they are. One that this server's own disk has never provided may not run before an
    administrator has approved it: until then the checkpoint can only be looked at. Raises
    InvalidInput (``file``, ``name``, ``plugins``) with a sentence; then nothing is made.
    """
    with tempfile.TemporaryDirectory(dir=blobs.scratch(), prefix="import-") as folder:
        try:
            bundle = read_bundle(path, Path(folder), max_bytes=settings.ACC_IMPORT_BYTES)
        except BundleError as error:
            raise InvalidInput({"file": str(error)}) from error
        except CheckpointError as error:
            raise InvalidInput({"file": f"'{path.name}': {error}"}) from error
        spec = bundle.header.spec
        refuse_unknown_plugins(spec, bundle)
        if visibility not in Visibility.values:
            raise InvalidInput({"visibility": f"{visibility!r} is not one of {', '.join(Visibility.values)}"})
        wanted = name if name is not None else _name(bundle)
        free_experiment_slug(wanted, actor, number=name is None)  # before the file is moved
        size = bundle.weights.stat().st_size
        stored = blobs.store(bundle.weights, checkpoints.FOLDER, bundle.sha256)
        try:
            return _create(actor, bundle, stored, size, wanted, number=name is None, visibility=visibility)
        except BaseException:
            checkpoints.delete_unused(stored)
            raise


def refuse_unknown_plugins(spec: TrainJobSpec, bundle: Bundle) -> None:
    """Raise InvalidInput(plugins) for a class that is neither in the file nor on this site."""
    wanted = {(PluginKind.MODEL, spec.model.architecture)}
    wanted |= {(PluginKind.TASK, task.task_class) for task in spec.tasks}
    for kind, name in sorted(wanted):
        built_in = kind == PluginKind.MODEL and name in STAGES
        if name in bundle.header.plugins or built_in:
            continue
        if not Plugin.objects.filter(kind=kind, name=name, available=True).exists():
            raise InvalidInput(
                plugins=f"{kind} class {name!r} is neither in the file nor on this site; "
                "put its plugin file into the plugins folder, then import again"
            )


@unit_of_work()
def _create(
    actor: Any, bundle: Bundle, file: str, size: int, name: str, *, number: bool, visibility: str
) -> Imported:
    spec, header = bundle.header.spec, bundle.header
    model = spec.model.model_dump(mode="json")
    experiment = new_experiment(actor, name, number=number, model_spec=model, visibility=visibility)
    branch = Branch.objects.create(experiment=experiment, name=MAIN, slug=MAIN, created_by=actor)
    origin = f"came with a checkpoint that {actor or 'somebody at the server'} imported"
    brought = [
        approval.keep(sha256=each["sha256"], path=str(each["path"]), text=each["source"], origin=origin)
        for each in header.plugins.values()
    ]
    checkpoint = Checkpoint.objects.create(
        experiment=experiment,
        branch=branch,
        kind=CheckpointKind.IMPORTED,
        step=header.global_step,
        job_step=header.job_step,
        file=file,
        sha256=bundle.sha256,
        size_bytes=size,
        spec=naming_code(spec.model_dump(mode="json"), header.plugins),
        losses={},  # those that the file names were not measured here, and no hash of the weights vouches for them
        note=_note(bundle),
        created_by=actor,
    )
    Branch.objects.filter(pk=branch.pk).update(head=checkpoint)
    notes = _attach(branch, spec)
    notes += [approval.refusal(each.pk, each) for each in dict.fromkeys(brought) if not each.may_run]
    touch("experiments", f"checkpoints:{experiment.pk}", f"tasks:{branch.pk}")
    return Imported(checkpoint, tuple(notes))


def _attach(branch: Branch, spec: TrainJobSpec) -> list[str]:
    """Attach the tasks whose dataset and class are here; return a sentence for each of the others."""
    notes: list[str] = []
    for position, task in enumerate(spec.tasks):
        wanted = spec.datasets[task.dataset]
        dataset = Dataset.objects.filter(content_hash=wanted.content_hash).order_by("pk").first()
        known = Plugin.objects.filter(kind=PluginKind.TASK, name=task.task_class, available=True).exists()
        if dataset is None or not known:
            lacks = (
                f"dataset {wanted.name!r}" if dataset is None else f"a plugin with class {task.task_class}"
            )
            notes.append(f"task {task.name!r} was left out: {lacks} is not on this site")
            continue
        task_of(branch, task, dataset, position).save()
    return notes


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return where a checkpoint came from: its line from the root, each job with what steered it."""
    line: list[dict[str, Any]] = []
    node: Checkpoint | None = checkpoint
    while node is not None:
        events = JobEvent.objects.filter(job=node.job, kind__in=STEERING, status=JobEvent.Status.APPLIED)
        line.append(
            {
                "kind": node.kind,
                "step": node.step,
                "sha256": node.sha256,
                "made_at": node.created_at,
                "job": node.job.spec if node.job else None,
                "steering": list(events.order_by("id").values("kind", "payload", "step")) if node.job else [],
            }
        )
        node = node.parent
    used = [spec["content_hash"] for spec in checkpoint.spec.get("datasets", {}).values()]
    datasets = Dataset.objects.filter(content_hash__in=used).order_by("pk")
    return {
        "experiment": checkpoint.experiment.name,
        "branch": checkpoint.branch.name,
        "step": checkpoint.step,
        "tag": checkpoint.tag,
        "note": checkpoint.note,
        "losses": checkpoint.losses,
        "datasets": list(datasets.values("name", "content_hash", "n", "provenance")),
        "line": line[::-1],
        "exported_at": timezone.now().replace(microsecond=0),
    }


def _name(bundle: Bundle) -> str:
    said = bundle.provenance.get("experiment")
    text = "".join(c for c in said if c.isprintable()).strip()[:70] if isinstance(said, str) else ""
    return text if any(c.isascii() and c.isalnum() for c in text) else "imported"


def _note(bundle: Bundle) -> str:
    said = bundle.provenance
    texts = [said.get("tag"), said.get("note")]
    told = "; ".join(text for text in texts if isinstance(text, str) and text)
    origin = f"imported from {said.get('experiment', 'elsewhere')}, branch {said.get('branch', '?')}"
    licence = bundle.licence.strip()
    return "\n".join(part for part in (origin, told, _losses(bundle), licence) if part).replace("\0", "")[
        :10_000
    ]


def _losses(bundle: Bundle) -> str:
    """Return in words the losses that the file names; they are what its maker says, and are shown as nothing else."""
    said = bundle.provenance.get("losses")
    if not isinstance(said, dict):
        return ""
    names = {series.TOTAL: "weighted total"}
    names |= {series.raw(task.key): task.name for task in bundle.header.spec.tasks}
    values = [f"{name} {said[key]:.6g}" for key, name in names.items() if isinstance(said.get(key), float)]
    return f"losses as its file says, not measured here: {', '.join(values)}" if values else ""

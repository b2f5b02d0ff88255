"""Jobs that make datasets: by a generator, or from a file that somebody uploaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db.models import Q
from django.utils import timezone

from acc.data.importers import Answers, scale
from acc.errors import InvalidInput
from acc.params import Param, clean_params
from accsite import blobs
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets import services as dataset_services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.recipes import recipe_hash
from accsite.apps.jobs.access import may_change_job
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.errors import WrongState
from accsite.ids import row_id
from accsite.names import clean_name

UPLOADS = "uploads"
ANSWERS = ("scale", "part", "classes")
LOOKED_KEPT = timedelta(days=1)
"""How long an upload that was looked at waits to be kept."""
PIXELS = ("uint8", "float32")


class DatasetExists(WrongState):
    """What was asked for has been made before; ``existing`` is the dataset's address."""

    def __init__(self, dataset: Dataset, why: str) -> None:
        super().__init__({"__all__": why})
        self.existing = dataset.slug


@dataclass(frozen=True)
class Upload:
    """A file in storage that an import job is to read: its name there, its hash, and what its owner called it."""

    file: str
    sha256: str
    name: str

    def as_dict(self) -> dict[str, str]:
        """Return it as a job's specification keeps it."""
        return {"file": self.file, "sha256": self.sha256, "name": self.name}


@unit_of_work()
def submit_generation(
    *,
    actor: Any,
    generator: str,
    params: Mapping[str, Any] | None = None,
    n: Any = None,
    seed: Any = 0,
    name: str = "",
    force: bool = False,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that makes a dataset; ``n`` None: as many images as the generator has.

    Raises InvalidInput naming each wrong field, and DatasetExists when the same generator, version, parameters, n
    and seed have made a dataset already, unless ``force`` is given.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    errors: dict[str, list[str]] = {}
    spec: dict[str, Any] = {"generator": generator, "n": None}
    plugin = None
    try:
        plugin = registry.get(PluginKind.GENERATOR, generator)
        spec["source_sha256"] = plugin.source_id
        spec["params"] = clean_params(plugin.params, params or {})
    except InvalidInput as error:
        errors.update(error.fields)
    for field, value, least in (("n", n, 1), ("seed", seed, 0)):
        if value is None or value == "":
            continue
        try:
            spec[field] = Param(least, min=least, max=2**31 - 1).clean(value)
        except ValueError as error:
            errors[field] = [str(error)]
    spec = {"seed": 0, **spec}
    if plugin is not None and not errors and not force:
        _refuse_made_before(plugin, spec)
    try:
        spec["name"] = clean_name(name or (dataset_services.free_name(plugin.label) if plugin else "Dataset"))
        dataset_services.check_free(spec["name"])
    except InvalidInput as error:
        errors.update(error.fields)
    if errors:
        raise InvalidInput(errors)
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.GENERATE,
        title=f"Generate {spec['name']}",
        spec=spec,
        total_steps=spec["n"] or 0,
    )


def _refuse_made_before(plugin: Plugin, spec: Mapping[str, Any]) -> None:
    made_from = {**spec, "version": plugin.requires.get("version", 1)}
    found = Dataset.objects.filter(recipe_hash=recipe_hash(made_from)).order_by("pk").first()
    if found is None:
        return
    changed = found.provenance.get("source_sha256") not in {None, plugin.source_id}
    why = f"the same parameters and seed have made '{found.name}' already; use it, or ask with force"
    if changed:
        why += f" ({plugin.path} has changed since, but its version is still {made_from['version']})"
    raise DatasetExists(found, f"{why}")


def regeneration(slug: str) -> dict[str, Any]:
    """Return what a generated dataset was made from, to begin the making of another one with.

    ``generator``, ``params``, ``n``, ``seed``, and a free ``name``; parameters that the generator no longer has are
    left out. Raises InvalidInput (dataset, generator) for one that was imported, or whose generator is gone.
    """
    dataset = datasets.get(slug)
    made = dataset.provenance
    if not dataset.recipe_hash:
        raise InvalidInput(dataset=f"'{dataset.name}' was not made by a generator: it cannot be made anew")
    plugin = registry.get(PluginKind.GENERATOR, made["generator"])
    known = {param["name"] for param in plugin.params}
    return {
        "generator": plugin.name,
        "params": {name: value for name, value in made["params"].items() if name in known},
        "n": made["n"],
        "seed": made["seed"],
        "name": dataset_services.free_name(dataset.name),
    }


@unit_of_work()
def submit_import(
    *,
    actor: Any,
    upload: Upload | None = None,
    labels: Upload | None = None,
    name: str = "",
    pixels: str = "uint8",
    answers: Mapping[str, str] | None = None,
    look: bool = False,
    looked: Job | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that takes an uploaded file in as a dataset, called after it unless ``name`` is given.

    answers: to what an import may ask, ``scale``, ``part`` and ``classes``. look: only look, and keep nothing; what was
    found is in the job's result. looked: in place of an upload, the job that has looked at one. Raises InvalidInput
    naming the field.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    check_import(name=name, pixels=pixels, answers=answers)
    sent = upload.as_dict() if upload else looked.spec["upload"] if looked else {}
    beside = labels.as_dict() if labels else looked.spec["labels"] if looked else None
    called = (
        clean_name(name) if name else dataset_services.free_name(dataset_services.name_of_file(sent["name"]))
    )
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.IMPORT,
        title=f"{'Look at' if look else 'Import'} {called}",
        spec={
            "name": called,
            "pixels": pixels,
            "answers": dict(answers or {}),
            "look": look,
            "looked": looked.pk if looked is not None else None,
            "upload": sent,
            "labels": beside,
        },
        total_steps=1_000,
    )


def looked_at(actor: Any, job: object) -> Job:
    """Return the job that has looked at an upload, which may be kept; raises InvalidInput (job) saying why not.

    Raises PermissionDenied for who may not steer that job: an upload is its maker's to keep.
    """
    looks = Job.objects.visible_to(actor).filter(kind=JobKind.IMPORT, spec__look=True)
    found = looks.filter(pk=row_id(job)).first()
    if found is None:
        raise InvalidInput(
            {"job": f"{job!r} is no job that has looked at an upload; upload the file with look first"}
        )
    if not may_change_job(actor, found):
        raise PermissionDenied(
            f"what job {found.pk} looked at is its maker's to keep; upload the file yourself"
        )
    if found.state != JobState.SUCCEEDED:
        raise InvalidInput({"job": f"job {found.pk} is {found.state.lower()}; it must have looked first"})
    if not default_storage.exists(found.spec["upload"]["file"]):
        raise InvalidInput({"job": f"what job {found.pk} looked at is kept no longer; upload it again"})
    return found


def kept_by(looked: Job) -> Job | None:
    """Return the job that keeps, or has kept, what another looked at; the newest that did not fail."""
    keeping = Job.objects.filter(kind=JobKind.IMPORT, spec__looked=looked.pk)
    return keeping.exclude(state__in=[JobState.FAILED, JobState.CANCELLED]).order_by("-id").first()


def check_import(*, name: str, pixels: str, answers: Mapping[str, str] | None = None) -> None:
    """Raise InvalidInput naming each field that an import cannot be given; asked before a file is taken in."""
    errors: dict[str, list[str]] = {}
    if name:
        try:
            dataset_services.check_free(clean_name(name))
        except InvalidInput as error:
            errors.update(error.fields)
    if pixels not in PIXELS:
        errors["pixels"] = [f"{pixels!r} is refused; choose one of: {', '.join(PIXELS)}"]
    try:
        given = Answers(**(answers or {}))
        if given.scale:
            scale.parsed(given.scale)
    except InvalidInput as error:
        errors.update(error.fields)
    if errors:
        raise InvalidInput(errors)


def drop_uploads(job: Job) -> None:
    """Delete the uploaded files of an import job that has ended, unless another is still to read them.

    What a job has looked at goes once it is kept.
    """
    wanted = set(uploads_in_use(but=[job.pk, job.spec.get("looked")]))
    for upload in (job.spec.get("upload"), job.spec.get("labels")):
        if upload and upload["file"] not in wanted:
            blobs.delete(upload["file"])


def uploads_in_use(*, but: Sequence[int | None] = ()) -> list[str]:
    """Return the names in storage of what import jobs are still to read, or have looked at within a day."""
    imports = Job.objects.filter(kind=JobKind.IMPORT).exclude(pk__in=[pk for pk in but if pk is not None])
    looked = Q(spec__look=True, state=JobState.SUCCEEDED, finished_at__gt=timezone.now() - LOOKED_KEPT)
    specs = imports.filter(Q(state__in=ACTIVE) | looked).values_list("spec", flat=True)
    return [upload["file"] for spec in specs for upload in (spec.get("upload"), spec.get("labels")) if upload]

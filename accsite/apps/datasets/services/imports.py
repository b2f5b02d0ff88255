"""Jobs that look what is in files, and make datasets of them as a mapping says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db.models import Q, QuerySet
from django.utils import timezone

from acc.data.importers import scale
from acc.data.importers.mapping import ImportMapping
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets import services as dataset_services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import on_server
from accsite.apps.jobs.access import may_change_job
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.jobs.states import ACTIVE, HELD, JobState
from accsite.ids import row_id
from accsite.names import clean_name

UPLOADS = "uploads"
LOOKED_KEPT = timedelta(days=1)
"""How long an upload that was looked at waits to be imported."""
GRACE = timedelta(hours=1)
"""How long a file may lie in storage before the job is committed that names it."""
CHANGES = ("scale", "pixels", "parts")
"""Fields of a mapping that may be said without the rest of it; the rest is as it is proposed."""


@dataclass(frozen=True)
class Upload:
    """A file in storage that an import job is to read: its name there, its hash, and what its owner called it."""

    file: str
    sha256: str
    name: str


@dataclass(frozen=True)
class Uploads:
    """Files that were uploaded together, read as the folder ``name``; theirs are paths in it."""

    name: str
    files: tuple[Upload, ...]


@dataclass(frozen=True)
class OnServer:
    """A file or folder of the server, read where it lies."""

    path: str

    @property
    def name(self) -> str:
        return Path(self.path).name


SourceFiles = Upload | Uploads | OnServer


@unit_of_work()
def submit_import(
    *,
    actor: Any,
    upload: SourceFiles | None = None,
    labels: SourceFiles | None = None,
    name: str = "",
    mapping: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    look: bool = False,
    looked: Job | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that makes a dataset of files, called after them unless ``name`` is given.

    mapping: what is to become of them, whole; without it as is proposed, but for ``changes`` (fields of CHANGES). look:
    only look; what is in them, the mapping, and how their images come out are in the job's result. looked: in place of
    an upload, the job that has looked at one; what it was told of the mapping goes on. Raises InvalidInput naming the
    field.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    if looked is not None:  # whoever is to delete its files waits for this job, or this one finds them gone
        looked = Job.objects.select_for_update().get(pk=looked.pk)
        _check_kept(looked)
    if looked is not None and mapping is None:
        mapping = looked.spec.get("mapping")
        changes = {**(looked.spec.get("changes") or {}), **(changes or {})}
    check_import(name=name, mapping=mapping, changes=changes)
    sent = asdict(upload) if upload else looked.spec["upload"] if looked else {}
    beside = asdict(labels) if labels else looked.spec["labels"] if looked and not upload else None
    called = clean_name(name) if name else dataset_services.free_name(_called(sent))
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.IMPORT,
        title=f"{'Look at' if look else 'Import'} {called}",
        spec={
            "name": called,
            "mapping": dict(mapping) if mapping is not None else None,
            "changes": dict(changes or {}),
            "look": look,
            "looked": looked.pk if looked is not None else None,
            "upload": sent,
            "labels": beside,
        },
        total_steps=1_000,
    )


def check_import(
    *, name: str, mapping: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None
) -> None:
    """Raise InvalidInput naming each field that an import cannot be given; asked before a file is taken in."""
    errors: dict[str, list[str]] = {}
    if name:
        try:
            dataset_services.check_free(clean_name(name))
        except InvalidInput as error:
            errors.update(error.fields)
    try:
        for told in (mapping, {"images": "", **(changes or {})}):
            if told is not None and (said := ImportMapping.parse(told).scale):
                scale.parsed(said)
    except InvalidInput as error:
        errors.update(error.fields)
    if errors:
        raise InvalidInput(errors)


def _called(sent: Mapping[str, Any]) -> str:
    return dataset_services.name_of_file(sent.get("name") or Path(sent["path"]).name)


def mapping_of(slug: object) -> dict[str, Any]:
    """Return the mapping by which a dataset was imported; raises InvalidInput (like) for one that has none."""
    try:
        dataset = datasets.get(slug)
    except InvalidInput as error:
        raise InvalidInput({"like": error.fields["dataset"]}) from error
    return own_mapping(dataset).model_dump(mode="json")


def own_mapping(dataset: Dataset) -> ImportMapping:
    """Return the mapping by which a dataset was imported; raises InvalidInput (like) for one that has none."""
    kept = dataset.provenance.get("mapping")
    if not isinstance(kept, dict):
        raise InvalidInput({"like": f"'{dataset.name}' was not imported by a mapping; choose another"})
    return ImportMapping.parse(kept)


def looks_of(user: Any) -> QuerySet[Job]:
    """Return the jobs that look at files, of those that a user may see."""
    return Job.objects.visible_to(user).filter(kind=JobKind.IMPORT, spec__look=True)


def looked_at(actor: Any, job: object) -> Job:
    """Return the job that has looked at files, which may be imported; raises InvalidInput (job) saying why not.

    To others than its maker and administrators it is not there. Raises PermissionDenied for who may not steer it.
    """
    found = looks_of(actor).filter(pk=row_id(job)).first()
    if found is None:
        raise InvalidInput(
            {"job": f"{job!r} is no job that has looked at an upload; upload the file with look first"}
        )
    if not may_change_job(actor, found):
        raise PermissionDenied(
            f"what job {found.pk} looked at is its maker's to import; upload the file yourself"
        )
    if found.state != JobState.SUCCEEDED:
        raise InvalidInput({"job": f"job {found.pk} is {found.state.lower()}; it must have looked first"})
    _check_kept(found)
    return found


def _check_kept(looked: Job) -> None:
    """Raise InvalidInput (job) unless what a job has looked at can still be read, and will be for a while."""
    if "path" in looked.spec["upload"]:
        on_server.found(looked.spec["upload"]["path"], field="job")
        return
    late = looked.finished_at is not None and looked.finished_at < timezone.now() - LOOKED_KEPT
    if late or not all(map(default_storage.exists, _stored(looked.spec))):
        raise InvalidInput({"job": f"what job {looked.pk} looked at is kept no longer; upload it again"})


def kept_by(looked: Job) -> Job | None:
    """Return the job that imports, or has imported, what another looked at; the newest that did not fail."""
    keeping = Job.objects.filter(kind=JobKind.IMPORT, spec__looked=looked.pk, spec__look=False)
    return keeping.exclude(state__in=[JobState.FAILED, JobState.CANCELLED]).order_by("-id").first()


@unit_of_work()
def drop_uploads(job: Job, attempt: int) -> None:
    """Delete the uploaded files of an import job that has ended, unless another is still to read them.

    What jobs have looked at goes once it is imported. attempt: of the worker that asks; if another attempt has the job
    by now, or is to, that one reads the files. Their jobs' rows are locked, as by who submits a job that reads them.
    """
    looks = _looks(job)
    rows = Job.objects.select_for_update().filter(pk__in=[job.pk, *looks]).order_by("pk")
    now = {row.pk: row for row in rows.only("state", "attempt")}.get(job.pk)
    held = now is not None and now.state in HELD and now.attempt == attempt
    if now is not None and now.state in ACTIVE and not held:
        return
    wanted = set(uploads_in_use(but=[job.pk, *looks]))
    for file in _stored(job.spec):
        if file not in wanted:
            blobs.delete(file)


def _looks(job: Job) -> list[int]:
    """Return the jobs that have looked at what a job imports, one after another."""
    found: list[int] = []
    before = job.spec.get("looked")
    while before is not None and before not in found:
        found.append(before)
        spec = Job.objects.filter(pk=before).values_list("spec", flat=True).first() or {}
        before = spec.get("looked")
    return found


def uploads_in_use(*, but: Sequence[int] = ()) -> list[str]:
    """Return the names in storage of what import jobs are still to read, or have looked at within a day."""
    imports = Job.objects.filter(kind=JobKind.IMPORT).exclude(pk__in=but)
    # Longer than it may be asked for, so that none is deleted at the moment at which it is.
    kept = timezone.now() - LOOKED_KEPT - GRACE
    looked = Q(spec__look=True, state=JobState.SUCCEEDED, finished_at__gt=kept)
    rows = imports.filter(Q(state__in=ACTIVE) | looked).values_list("spec", "result")
    return [file for spec, result in rows for file in (*_stored(spec), *_pictures(result))]


def _stored(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names in storage of what a job's specification names."""
    for each in (spec.get("upload"), spec.get("labels")):
        if each:
            yield from (part["file"] for part in each.get("files", [each]) if "file" in part)


def _pictures(result: Mapping[str, Any] | None) -> Iterator[str]:
    picture = ((result or {}).get("preview") or {}).get("picture")
    if picture:
        yield picture["file"]

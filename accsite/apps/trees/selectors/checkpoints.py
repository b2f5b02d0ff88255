"""Reads what a checkpoint was made by."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from acc.errors import InvalidInput
from acc.specs import TrainJobSpec
from accsite.apps.registry.models import PluginKind
from accsite.apps.registry.origins import Origin
from accsite.apps.training.models import Checkpoint, CheckpointKind
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.training.selectors.replays import Replayed, last_replay
from accsite.apps.training.specs import model_spec_of
from accsite.apps.trees import measures
from accsite.apps.trees.selectors.differences import sources, spec_difference
from accsite.apps.trees.services.dependants import needed


def find_checkpoint_named(user: Any, name: str) -> Checkpoint:
    """Return a checkpoint by its id or, if there is none of that id, its tag. ``user`` None: any.

    Raises InvalidInput for a name that there is not, or that is the tag of several.
    """
    rows = Checkpoint.objects.filter(experiment__in=seen_experiments(user)).select_related(
        "branch__experiment"
    )
    by_id = rows.filter(pk=int(name)).first() if name.isdecimal() and int(name) < 2**63 else None
    if by_id is not None:
        return by_id
    tagged = list(rows.filter(tag=name)[:10]) if name else []
    if len(tagged) > 1:
        ids = ", ".join(str(row.pk) for row in tagged)
        raise InvalidInput({"checkpoint": f"{name!r} is the tag of several; name one by its id: {ids}"})
    if tagged:
        return tagged[0]
    newest = ", ".join(str(pk) for pk in rows.values_list("pk", flat=True)[:5]) or "none"
    raise InvalidInput(
        {"checkpoint": f"{name!r} is neither the id nor the tag of a checkpoint; the newest are: {newest}"}
    )


def checkpoint_origin(user: Any, name: str) -> Origin:
    """Return the classes that made a checkpoint, each with the sha256 of its source."""
    checkpoint = find_checkpoint_named(user, name)
    model_spec_of(checkpoint)  # which refuses weights alone
    spec = TrainJobSpec.model_validate(checkpoint.spec)
    classes: dict[tuple[str, str], str] = {}
    architecture = spec.model.architecture
    if sha256 := spec.plugins.get(architecture):
        classes[PluginKind.MODEL.value, architecture] = sha256
    for task in spec.tasks:  # those that were attached while it was trained tell their source themselves
        if sha256 := task.source_sha256 or spec.plugins.get(task.task_class):
            classes[PluginKind.TASK.value, task.task_class] = sha256
    return Origin(f"checkpoint {checkpoint.pk}", classes)


class StoredFile(TypedDict):
    """A file of a checkpoint; ``present``: whether it was not pruned."""

    name: str
    sha256: str
    bytes: int
    present: bool


class CheckpointDetail(TypedDict):
    """All that is to be read of a node; ``difference`` is to its parent's specification.

    metrics: losses and what was measured, by the names of the tree. plugins: class -> sha256 of the source that made
    it. needed: why it cannot be deleted, empty if it can. expands: of an expanded one, how its parent was grown.
    """

    id: int
    experiment: str
    branch: int
    branch_slug: str
    parent: int | None
    children: list[int]
    job: int | None
    job_title: str | None
    kind: str
    step: int
    job_step: int
    tag: str
    note: str
    starred: bool
    created_at: datetime
    created_by: str | None
    sha256: str
    size_bytes: int
    losses: dict[str, float | None]
    files: list[StoredFile]
    metrics: dict[str, float]
    difference: dict[str, Any]
    plugins: dict[str, str]
    head_of: list[int]
    forks: list[int]
    needed: str
    expands: dict[str, Any] | None
    replay: Replayed | None
    spec: dict[str, Any]


def checkpoint_detail(checkpoint: Checkpoint) -> CheckpointDetail:
    """Return all that is to be read of a node."""
    parent, job = checkpoint.parent, checkpoint.job
    expands = job.spec.get("expansion") if job and checkpoint.kind == CheckpointKind.EXPANDED else None
    present = checkpoint.weights_pruned_at is None
    return {
        "id": checkpoint.pk,
        "experiment": checkpoint.experiment.slug,
        "branch": checkpoint.branch_id,
        "branch_slug": checkpoint.branch.slug,
        "parent": checkpoint.parent_id,
        "children": list(checkpoint.children.order_by("pk").values_list("pk", flat=True)),
        "job": checkpoint.job_id,
        "job_title": job.title if job else None,
        "kind": checkpoint.kind,
        "step": checkpoint.step,
        "job_step": checkpoint.job_step,
        "tag": checkpoint.tag,
        "note": checkpoint.note,
        "starred": checkpoint.starred,
        "created_at": checkpoint.created_at,
        "created_by": checkpoint.created_by.get_username() if checkpoint.created_by else None,
        "sha256": checkpoint.sha256,
        "size_bytes": checkpoint.size_bytes,
        "losses": checkpoint.losses,
        "files": [
            {
                "name": checkpoint.file,
                "sha256": checkpoint.sha256,
                "bytes": checkpoint.size_bytes,
                "present": present,
            }
        ],
        "metrics": measures.of(checkpoint),
        "difference": spec_difference(parent.spec if parent else None, checkpoint.spec),
        "plugins": sources(checkpoint.spec),
        "head_of": list(checkpoint.head_of.order_by("pk").values_list("pk", flat=True)),
        "forks": list(checkpoint.forks.order_by("pk").values_list("pk", flat=True)),
        "needed": needed([checkpoint.pk]).get(checkpoint.pk, ""),
        "expands": expands,
        "replay": last_replay(checkpoint),
        "spec": checkpoint.spec,
    }

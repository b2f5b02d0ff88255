"""What the pages of an experiment's tree and of one checkpoint show: queries only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, Max, Min, OuterRef, Q
from django.utils import timezone

from acc.errors import InvalidInput
from acc.specs import ModelSpec
from accsite.apps.jobs.models import TRAININGS, Job, JobKind
from accsite.apps.jobs.states import HELD
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.pages.jobs import named_losses
from accsite.apps.training.pages.replays import Change, replay_changes, text
from accsite.apps.training.selectors.alarms import grave_alarms_in, words_at
from accsite.apps.trees import measures, pictures, selectors
from accsite.apps.trees.names import called
from accsite.apps.trees.pages.figures import key_figures
from accsite.apps.trees.services.deletion import Deletion, descendants
from accsite.apps.trees.services.retention import Plan, plan_pruning
from accsite.pages import visible_row

ROWS_A_PAGE = 50
COMPARED = 40
LISTED = 12
PLANNED_AT_ONCE = 500


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint in the table, the branches whose head it is, its value of the chosen metric, its grave alarms."""

    checkpoint: Checkpoint
    heads: list[str]
    losses: list[tuple[str, float]]
    value: float | None
    alarms: str


@dataclass(frozen=True)
class Removal:
    """Checkpoints that were deleted together and can be restored."""

    id: str
    count: int
    step: int
    until: datetime


def find_checkpoint(user: Any, pk: int) -> Checkpoint:
    """Return a checkpoint that ``user`` may see; raises Http404."""
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    with_it = rows.select_related("experiment", "branch__experiment", "parent__branch", "job", "created_by")
    return visible_row(with_it, f"checkpoint {pk}", pk=pk)


def find_deleted(user: Any, pk: int) -> Checkpoint | None:
    """Return a checkpoint that was deleted and can still be restored, if ``user`` may see its experiment."""
    rows = Checkpoint.everything.filter(experiment__in=Experiment.objects.visible_to(user))
    return (
        rows.filter(pk=pk, deleted_at__isnull=False, deletion__isnull=False)
        .select_related("experiment")
        .first()
    )


def deletion_of(checkpoint: Checkpoint) -> Deletion:
    """Return the deletion by which a checkpoint was taken out of its tree."""
    rows = Checkpoint.everything.filter(experiment=checkpoint.experiment_id, deletion=checkpoint.deletion)
    sizes = dict(rows.values_list("pk", "size_bytes"))
    assert checkpoint.deletion is not None
    assert checkpoint.deleted_at is not None
    until = checkpoint.deleted_at + timedelta(seconds=settings.ACC_UNDO_SECONDS)
    return Deletion(checkpoint.deletion, tuple(sorted(sizes)), sum(sizes.values()), until)


def checkpoint_rows(
    experiment: Experiment, metric: str, page: str | None
) -> tuple[Page[Any], list[CheckpointRow]]:
    """Return one page of an experiment's checkpoints, newest first, with the values of a metric."""
    found = experiment.checkpoints.select_related("branch", "parent__branch").order_by("-pk")
    shown = Paginator(found, ROWS_A_PAGE).get_page(page)
    heads: dict[int, list[str]] = {}
    for head, name in experiment.branches.exclude(head=None).values_list("head", "name"):
        heads.setdefault(head, []).append(name)
    values = measures.read(experiment.pk, metric).values
    raised = grave_alarms_in(experiment)
    rows = [
        CheckpointRow(
            row,
            heads.get(row.pk, []),
            named_losses(row.losses, row.spec),
            values.get(row.pk),
            words_at(raised, row.job_id, row.job_step),
        )
        for row in shown
    ]
    return shown, rows


def checkpoint_page(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that is shown of one checkpoint."""
    detail = selectors.checkpoint_detail(checkpoint)
    experiment = checkpoint.experiment
    parents = dict(experiment.checkpoints.order_by().values_list("pk", "parent_id"))
    measured = {
        name.partition("/")[2]: value
        for name, value in detail["metrics"].items()
        if not name.startswith("loss/")
    }
    names = {task["key"]: task["name"] for task in checkpoint.spec.get("tasks", [])}
    moving = Job.objects.active().filter(branch=checkpoint.branch, kind__in=(*TRAININGS, JobKind.EXPAND))
    return {
        "checkpoint": checkpoint,
        "detail": detail,
        "experiment": experiment,
        "losses": [
            (names.get(name.removeprefix("loss/"), name.removeprefix("loss/")), value)
            for name, value in detail["metrics"].items()
            if name.startswith("loss/")
        ],
        "figures": key_figures(checkpoint, detail["metrics"]),
        "picture": pictures.of(checkpoint.pk),
        "measured": sorted(measured.items()),
        "tasks": checkpoint.spec.get("tasks", []),
        "changes": changes(detail["difference"]) if checkpoint.parent_id else [],
        "heads": list(checkpoint.head_of.order_by("pk")),
        "forks": list(checkpoint.forks.order_by("pk")),
        "children": checkpoint.children.select_related("branch").defer("spec").order_by("pk")[:LISTED],
        "more_children": max(0, len(detail["children"]) - LISTED),
        "grew": len(descendants(checkpoint.pk, parents)) - 1,
        "needed": detail["needed"],
        "plugins": sorted(detail["plugins"].items()),
        "present": checkpoint.weights_pruned_at is None,
        "alarms_before": words_at(grave_alarms_in(experiment), checkpoint.job_id, checkpoint.job_step),
        "compared": compared(checkpoint),
        "busy": moving.order_by("pk").first(),
        "replayed": detail["replay"],
        "replay_changes": replay_changes(detail["replay"]),
        "topics": f"checkpoints:{experiment.pk}",
        "measures_topic": f"evaluations:{checkpoint.branch_id}",
    }


def compared(checkpoint: Checkpoint) -> list[tuple[int, str]]:
    """Return (id, words) of what a checkpoint may be compared with: parent, heads, what is tagged or starred."""
    rows = Checkpoint.objects.filter(experiment=checkpoint.experiment_id).select_related("branch__experiment")
    heads = rows.filter(head_of__isnull=False).exclude(pk=checkpoint.pk).distinct()
    marked = rows.exclude(tag="", starred=False).exclude(pk=checkpoint.pk)
    found: dict[int, str] = {}
    if checkpoint.parent is not None:
        found[checkpoint.parent.pk] = f"its parent, {called(checkpoint.parent)}"
    for row in heads.defer("spec")[:COMPARED]:
        found.setdefault(row.pk, f"head of {row.branch.name}, step {row.step:,}")
    for row in marked.defer("spec")[:COMPARED]:
        found.setdefault(row.pk, f"{row.tag or 'starred'}, {row.branch.name} step {row.step:,}")
    return list(found.items())


def changes(difference: dict[str, Any]) -> list[Change]:
    """Return the lines of a difference between two specifications."""
    lines: list[Change] = []
    for part in ("model", "train"):
        lines += [
            Change(f"{part}: {name}", *map(text, pair)) for name, pair in difference.get(part, {}).items()
        ]
    tasks = difference.get("tasks", {})
    lines += [
        Change("task added", "", f"{task['name']} ({task['task_class']})") for task in tasks.get("added", ())
    ]
    lines += [
        Change("task removed", f"{task['name']} ({task['task_class']})", "")
        for task in tasks.get("removed", ())
    ]
    for key, fields in tasks.get("changed", {}).items():
        lines += [Change(f"task {key}: {name}", *map(text, pair)) for name, pair in fields.items()]
    datasets = difference.get("datasets", {})
    lines += [Change("dataset added", "", name) for name in datasets.get("added", ())]
    lines += [Change("dataset removed", name, "") for name in datasets.get("removed", ())]
    for name, pair in difference.get("plugins", {}).items():
        lines.append(Change(f"source of {name}", *(str(sha256 or "")[:12] for sha256 in pair)))
    return lines


def prune_page(experiment: Experiment, *, asked: bool = False) -> dict[str, Any]:
    """Return what pruning would remove, and what was removed and can be restored.

    The plan of a tree of more than PLANNED_AT_ONCE checkpoints, which takes a while, is made when ``asked`` for.
    """
    if not asked and experiment.checkpoints.count() > PLANNED_AT_ONCE:
        return {"plan": None, "removals": removals(experiment)}
    try:
        plan: Plan = plan_pruning(experiment)
    except InvalidInput as error:
        # A policy by a number that nothing measures; the form beside it can change that.
        return {"plan": None, "plan_refused": str(error), "removals": removals(experiment)}
    rows = Checkpoint.objects.filter(pk__in=[*plan.leaves, *plan.weights][:LISTED]).defer("spec")
    kept: dict[str, int] = {}
    for why in plan.kept.values():
        reason = "as head of a branch" if why.startswith("is the head") else _reason(why)
        kept[reason] = kept.get(reason, 0) + 1
    return {
        "plan": plan,
        "goes": rows.select_related("branch"),
        "gone_more": max(0, len(plan.leaves) + len(plan.weights) - LISTED),
        "kept": ", ".join(f"{count} {reason}" for reason, count in sorted(kept.items())) or "none",
        "removals": removals(experiment),
    }


def _reason(why: str) -> str:
    words = {
        "is tagged": "with a tag",
        "is starred": "with a star",
        "is among": why.removeprefix("is "),
    }
    return next((text for start, text in words.items() if why.startswith(start)), "in use")


def removals(experiment: Experiment) -> list[Removal]:
    """Return what was deleted and can still be restored, newest first."""
    grace = timedelta(seconds=settings.ACC_UNDO_SECONDS)
    rows = Checkpoint.everything.filter(
        experiment=experiment, deleted_at__gt=timezone.now() - grace
    ).order_by()
    found = (
        rows.values("deletion")
        .annotate(n=Count("pk"), step=Min("step"), at=Max("deleted_at"))
        .order_by("-at")
    )
    return [Removal(str(row["deletion"]), row["n"], row["step"], row["at"] + grace) for row in found[:LISTED]]


def undo_words() -> str:
    """Return for how long what was deleted can be restored."""
    hours = settings.ACC_UNDO_SECONDS / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"


def branches_of(experiment: Experiment) -> Any:
    return Branch.objects.filter(experiment=experiment).order_by("pk")


def find_experiment(user: Any, slug: str) -> Experiment:
    """Return an experiment that ``user`` may see; raises Http404."""
    return visible_row(Experiment.objects.visible_to(user), f"experiment {slug!r}", slug=slug)


def branches(experiment: Experiment) -> list[Branch]:
    """Return the branches of an experiment with head, ``task_count``, and whether they are ``training``."""
    attached = Count("tasks", filter=Q(tasks__removed_at__isnull=True))
    at_work = Job.objects.filter(branch=OuterRef("pk"), kind__in=TRAININGS, state__in=HELD)
    rows = experiment.branches.select_related("head")
    return list(rows.annotate(task_count=attached, training=Exists(at_work)))


def model_facts(experiment: Experiment) -> dict[str, Any]:
    if not experiment.model_spec:  # made for a loop of one's own that has told of none
        return {"model": None, "groups": (), "params": []}
    model = ModelSpec.model_validate(experiment.model_spec)
    return {"model": model, "groups": model.ordered_groups, "params": sorted(model.params.items())}

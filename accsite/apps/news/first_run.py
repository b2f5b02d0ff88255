"""What a newcomer does next: data, model, train, look, compare. What is done is read from the rows that it made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accsite.apps.access.permissions import may_write
from accsite.apps.audit.trail import no_deed
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobKind
from accsite.apps.live.services import bump
from accsite.apps.news.models import FirstRun
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Experiment


@dataclass(frozen=True)
class Step:
    """One step: its name, what it is in a sentence, and what its button says.

    done: user, their row -> whether it is done. where: user -> where the button leads, and what it says instead.
    """

    name: str
    label: str
    sentence: str
    button: str
    done: Callable[[Any, FirstRun], bool]
    where: Callable[[Any], str | tuple[str, str]]


@dataclass(frozen=True)
class NextStep:
    """The step that comes next, its button and where that leads, and all steps: ``done``, ``now`` or ``later``."""

    step: Step
    button: str
    url: str
    all: list[tuple[Step, str]]


def _kept(user: Any) -> QuerySet[Checkpoint]:
    """Return the checkpoints of somebody's experiments, and those that they trained in another's, that stay: an
    autosave is gone before its link is followed."""
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    rows = rows.filter(Q(experiment__owner=user) | Q(job__created_by=user))
    return rows.exclude(kind=CheckpointKind.AUTOSAVE).order_by("-pk")


def _trained(user: Any) -> bool:
    """Return whether they have trained anything, in an experiment of their own or in another's."""
    return _kept(user).filter(job__created_by=user, job__kind=JobKind.TRAIN).exists()


def _workbench(branch: Branch) -> str:
    return reverse("training:workbench", args=[branch.experiment.slug, branch.slug])


def _bench(user: Any) -> str:
    branch = Branch.objects.filter(experiment__owner=user).select_related("experiment").last()
    return _workbench(branch) if branch else reverse("training:home")


def _look(user: Any) -> str:
    node = _kept(user).values_list("pk", flat=True).first()
    return reverse("evaluation:checkpoint", args=[node]) if node else reverse("evaluation:home")


def _compare(user: Any) -> str | tuple[str, str]:
    """Return where two checkpoints are compared; while there is one alone, where it is forked, or its fork trained."""
    nodes = list(_kept(user).values_list("pk", flat=True)[:2])
    if len(nodes) != 1:
        return reverse("evaluation:compare")
    fork = Branch.objects.filter(forked_from__in=nodes).select_related("experiment").last()
    if fork is not None:
        return _workbench(fork), "Train the fork"
    return reverse("trees:checkpoint", args=nodes), "Fork your checkpoint"


STEPS = (
    Step(
        "data",
        "Data",
        "Make a dataset: a generator draws images with named targets.",
        "Make a dataset",
        lambda _user, _row: Dataset.objects.exists(),
        lambda _user: reverse("datasets:dataset-new"),
    ),
    Step(
        "model",
        "Model",
        "Create an experiment: choose a model, and which part of its latent is for which concept.",
        "Create an experiment",
        lambda user, _row: Experiment.objects.filter(owner=user).exists() or _trained(user),
        lambda _user: reverse("trees:experiment-new"),
    ),
    Step(
        "train",
        "Train",
        "Train it on the workbench: watch the losses fall, and change the weights of its tasks meanwhile.",
        "Open the workbench",
        lambda user, _row: _trained(user),
        _bench,
    ),
    Step(
        "look",
        "Look",
        "See what it has learned: metrics, traversals of each factor, and the UFR matrix.",
        "Look at a checkpoint",
        lambda _user, row: row.looked_at is not None,
        _look,
    ),
    Step(
        "compare",
        "Compare",
        "Fork a checkpoint, train it another way, and lay the two side by side.",
        "Compare checkpoints",
        lambda _user, row: row.compared_at is not None,
        _compare,
    ),
)
PLACES = ("workbench", "datasets", "experiments", "evaluate")
"""Parts of the site whose pages tell what is next."""
LOOKS = ("evaluation:checkpoint", "evaluation:tab", "trees:checkpoint")
COMPARES = "evaluation:compare"
_MOMENTS = {"look": "looked_at", "compare": "compared_at", "end": "ended_at"}


def next_step(user: Any) -> NextStep | None:
    """Return what a user does next; None for who has done all, wants no hints, or may only look."""
    if not may_write(user):
        return None
    row = FirstRun.objects.filter(user=user).first() or FirstRun(user=user)
    if row.ended_at is not None:
        return None
    now = next((step for step in STEPS if not step.done(user, row)), None)
    if now is None:
        return None
    at = STEPS.index(now)
    states = ["done" if index < at else "now" if index == at else "later" for index in range(len(STEPS))]
    leads = now.where(user)
    url, button = (leads, now.button) if isinstance(leads, str) else leads
    return NextStep(now, button, url, list(zip(STEPS, states, strict=True)))


def visited(user: Any, view: str, compared: int) -> None:
    """Note by the page that somebody opened that they have looked at a checkpoint, or ``compared`` two or more.

    Of who may only look, and of what was noted before, nothing is noted.
    """
    what = "look" if view in LOOKS else "compare" if view == COMPARES and compared > 1 else ""
    if not what or not may_write(user):
        return
    row = FirstRun.objects.filter(user=user).first()
    if row is None or getattr(row, _MOMENTS[what]) is None:
        note(user, what)


def note(user: Any, what: str) -> None:
    """Note that somebody has looked (``look``), compared (``compare``), or wants no hints (``end``)."""
    FirstRun.objects.update_or_create(user=user, defaults={_MOMENTS[what]: timezone.now()})
    bump(f"news:{user.pk}")
    no_deed()

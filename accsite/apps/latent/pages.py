"""What the panel of a branch's latent and the page of up to four checkpoints show: queries only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404
from django.urls import reverse

from acc.specs import ModelSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.pictures import strip_of
from accsite.apps.latent.selectors import checkpoints_of, newest_of
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.trees import pictures
from accsite.apps.trees.ranges import ranges
from accsite.ids import row_id

LETTERS = "abcd"
DIMENSIONS_SHOWN = 32
"""Of one group; of a latent of thousands nobody moves each by hand."""
CHOICES = 200
STRIP = (-3, -2, -1, 0, 1, 2, 3)


@dataclass(frozen=True)
class Group:
    """A factor group as a slider, and its dimensions. ``hue``: its place among the groups of its model,
    None for what lies between them.
    """

    name: str
    start: int
    end: int
    hue: int | None

    @property
    def named(self) -> bool:
        return self.hue is not None

    @property
    def shown(self) -> range:
        return range(self.start, min(self.end, self.start + DIMENSIONS_SHOWN))

    @property
    def width(self) -> int:
        return self.end - self.start

    @property
    def left_out(self) -> int:
        return self.width - len(self.shown)


def groups_of(model: ModelSpec) -> list[Group]:
    """Return the factor groups by position, and what lies between them as groups without a slider of their own."""
    return [
        Group(each.name or f"{each.start} to {each.end - 1}", each.start, each.end, each.hue)
        for each in ranges(model.ordered_groups, model.latent_dim)
    ]


def heads_context(branch: Branch, versions: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return which checkpoint the panel of a branch draws by now."""
    topic = f"checkpoints:{branch.experiment_id}"
    if not versions:
        versions = live.versions([topic])
        branch.refresh_from_db(from_queryset=Branch.objects.select_related("head"))
    newest = newest_of(branch)
    return {
        "versions": versions,
        "topic": topic,
        "heads_url": reverse("latent:heads", args=[branch.pk]),
        "shown": [newest] if newest and "model" in newest.spec else [],
        "letters": LETTERS,
    }


def panel_context(branch: Branch, versions: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return what the panel of a branch shows; sliders that wait where a model is known and no checkpoint yet."""
    told = {**heads_context(branch, versions), "branch": branch, "alone": False}
    shown: list[Checkpoint] = told["shown"]
    model = shown[0].spec["model"] if shown else branch.experiment.model_spec
    if not model or (branch.head and not shown):  # weights alone draw nothing
        return told
    return {**told, **hand_context(shown, ModelSpec.model_validate(model))}


def hand_context(checkpoints: Sequence[Checkpoint], model: ModelSpec) -> dict[str, Any]:
    """Return the skeleton for checkpoints of one model: sliders, and a picture that is stored already.

    Without checkpoints it has the place of one, and its sliders wait.
    """
    image = model.image
    groups = groups_of(model)
    named = [group.name for group in groups if group.named]
    kept = strip_of(checkpoints[0].pk, named, len(STRIP)) if len(checkpoints) == 1 else None
    boxes = kept.steps if kept else [None] * len(STRIP)
    fitting = Dataset.objects.filter(channels=image.channels, height=image.height, width=image.width)
    return {
        "shown": checkpoints,
        "places": [(each, pictures.of(each.pk)) for each in checkpoints] or [(None, None)],
        "letters": LETTERS,
        "groups": groups,
        "latent_dim": model.latent_dim,
        "image": image,
        "datasets": list(fitting.order_by("name").values_list("slug", "name", "n")),
        "strip": list(zip(STRIP, boxes, strict=True)),
        "kept": kept,
    }


def page_context(user: Any, query: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows of the checkpoints that the address names; raises Http404 for one not to be seen."""
    rows = checkpoints_of(user)
    named = [query[letter] for letter in LETTERS if query.get(letter)]
    checkpoints: list[Checkpoint] = []
    for name in named:
        found = rows.filter(pk=row_id(name)).first()
        if found is None:
            raise Http404(f"there is no checkpoint {name} that you may see")
        if found not in checkpoints:
            checkpoints.append(found)
    if not checkpoints:
        newest = rows.filter(head_of__isnull=False, weights_pruned_at=None).order_by("-pk").first()
        checkpoints = [newest] if newest else []
    checkpoints = [each for each in checkpoints if "model" in each.spec]  # weights alone draw nothing
    if not checkpoints:
        return {"alone": True, "shown": []}
    choices = rows.filter(experiment=checkpoints[0].experiment, weights_pruned_at=None).order_by("-pk")[
        :CHOICES
    ]
    offered = list({each.pk: each for each in [*checkpoints, *choices]}.values())
    chosen = dict(zip(LETTERS, [each.pk for each in checkpoints], strict=False))
    return {
        "alone": True,
        "branch": checkpoints[0].branch,
        "offered": sorted(offered, key=lambda each: -each.pk),
        "picks": [(letter, chosen.get(letter)) for letter in LETTERS],
        **hand_context(checkpoints, ModelSpec.model_validate(checkpoints[0].spec["model"])),
    }

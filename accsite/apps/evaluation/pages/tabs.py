"""What each tab of a checkpoint's evaluation shows: queries only, no model work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from acc.results import graded, of_plugin
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric, Threshold
from accsite.apps.evaluation.pages import leaders, matrix, sentences
from accsite.apps.evaluation.pages.bars import Bar, axis
from accsite.apps.evaluation.pages.curves import Curve, Trend, plot, trend
from accsite.apps.evaluation.selectors.asked import DIRECTIONS, Kept, PartRequest, measured
from accsite.apps.evaluation.selectors.comparing import HEADLINE
from accsite.apps.evaluation.selectors.metric_plugins import MetricPlugins
from accsite.apps.evaluation.selectors.samples import Samples
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.pages.charts import baselines_of

TREND = 12
FRAMES = 200
POINTS = 500
OWN_TARGET = "the group's own target"
MARKS = {
    "good": "✓",
    "moderate": "≈",
    "poor": "✗",
    "better than trivial": "↑",
    "no better than trivial": "✗",
    "unclear": "?",
}


@dataclass(frozen=True)
class Row:
    """One metric of a checkpoint, how it stands, and its last values on the branch, oldest first."""

    task: str
    slot: int | None
    name: str
    unit: bool
    metric: Metric
    grade: str
    moderate: float | None
    good: float | None
    source: str
    trend: Trend | None
    concepts: Sequence[str] = ()

    @property
    def judgement(self) -> str:
        """The grade in words: what is trivial of a representation is what chance gives."""
        return self.grade.replace("trivial", self.trivial_words)

    @property
    def mark(self) -> str:
        """The sign beside the judgement, so that it is not told by colour alone."""
        return MARKS.get(self.grade, "")

    @property
    def why(self) -> str:
        """What the judgement goes by."""
        if self.grade == "unclear":
            return "the two ends of its interval would be judged differently"
        return {
            "no better than trivial": "a predictor that looks at no image is as good",
            "better than trivial": "by its whole interval; nothing says from where on it is good",
        }.get(self.grade, "by its whole interval" if self.metric.low is not None else "")

    @property
    def bar(self) -> Bar | None:
        """Where its value lies between what is trivial and what is good: from 0 to 1, or on an axis of its own."""
        number, trivial = self.metric, leaders.trivial(self.metric)
        earlier = self.trend.values if self.trend else ()
        numbers = [number.value, number.low, number.high, trivial, self.moderate, self.good, *earlier]
        scale = axis(numbers, unit=self.unit)
        return scale.bar(number.value, number.low, number.high, trivial=trivial, goal=self.good)

    @property
    def trivial(self) -> float | None:
        """What the trivial answer scores."""
        return leaders.trivial(self.metric)

    @property
    def trivial_words(self) -> str:
        """Who scores that."""
        return leaders.trivial_words(self.metric)

    @property
    def key(self) -> str:
        """What names it in the form of thresholds."""
        return f"{self.metric.task_key}/{self.metric.name}"


@dataclass(frozen=True)
class Scrubbed:
    """A picture, and those of the same images at other steps of its branch, by step."""

    picture: Artifact
    frames: list[Artifact]

    @property
    def place(self) -> int | str:
        """Which of the frames the picture is; empty where it is too old to be one of them."""
        return self.frames.index(self.picture) if self.picture in self.frames else ""

    @property
    def addresses(self) -> str:
        """``step:address`` of each frame, with spaces between them."""
        return " ".join(
            f"{frame.evaluation.step}:{reverse('evaluation:artifact', args=[frame.pk])}"
            for frame in self.frames
        )


def metrics(
    checkpoint: Checkpoint, asked: PartRequest, _kept: Kept, _query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the rows of the metrics table, of images asked for: of tasks, the headline of factoring, of plugins."""
    branch = checkpoint.branch
    newest: dict[tuple[str, str], Metric] = {}
    rows = Metric.objects.on(asked.spec.rows).filter(evaluation__checkpoint=checkpoint, concept="", group="")
    rows = rows.select_related("evaluation")
    for metric in rows.order_by("evaluation_id", "id"):
        if is_listed(metric):
            newest[metric.task_key, metric.name] = metric
    tasks = {task.key: task for task in branch.tasks.all()}
    plugins = MetricPlugins()
    order = {key: place for place, key in enumerate(tasks)}
    trends = _trends(branch, checkpoint.step)
    limits = _thresholds(branch)
    told = baselines_of(checkpoint.job) if checkpoint.job else {}
    named = concepts_of(
        {row.evaluation_id for (key, name), row in newest.items() if not key and name in HEADLINE}
    )
    shown = []
    for (key, name), metric in sorted(
        newest.items(), key=lambda item: (order.get(item[0][0], 98 if item[0][0] else 99), item[0])
    ):
        task = tasks.get(key)
        if name == "loss" and metric.baseline is None and not told.get(key, {}).get("floor"):
            metric.baseline = told.get(key, {}).get("loss")  # as its training measured it
        moderate, good, source = limits.get((key, name), (metric.moderate, metric.good, "task class"))
        whose, called = ("", name) if key else plugins.of(name)
        label = task.name if task else key or f"{whose} of {metric.dataset}"
        shown.append(
            Row(
                label,
                task.colour_slot if task else None,
                called,
                plugins.from_0_to_1(name),
                metric,
                graded(
                    metric.value,
                    metric.higher_is_better,
                    low=metric.low,
                    high=metric.high,
                    trivial=leaders.trivial(metric),
                    thresholds=None if moderate is None or good is None else (moderate, good),
                ),
                moderate,
                good,
                source if good is not None else "",
                trend(trends.get((key, name, metric.kind_of_sample), [])),
                () if key or name not in HEADLINE else named.get(metric.evaluation_id, ()),
            )
        )
    return {"rows": shown}


def is_listed(metric: Metric) -> bool:
    """Return whether a number of no single concept or group stands in the table of metrics."""
    return bool(metric.task_key) or metric.name in HEADLINE or bool(of_plugin(metric.name)[0])


def reconstructions(
    checkpoint: Checkpoint, asked: PartRequest, kept: Kept, _query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the pictures of each dataset, and those of other steps of the branch to scrub through."""
    pictures = kept.artifacts.get("reconstructions", [])
    options = kept.evaluation.options if kept.evaluation else asked.spec.model_dump()
    return {
        "pictures": [Scrubbed(picture, frames(checkpoint.branch, picture)) for picture in pictures],
        "shown": "worst" if options.get("shown") == "worst" else "random" if options.get("seed") else "fixed",
        "shown_seed": options.get("seed", 0),
        "other_seed": asked.spec.seed + 1,
    }


def frames(branch: Branch, picture: Artifact) -> list[Artifact]:
    """Return what is kept of the same images at other steps, by step: the newest of each."""
    found = Artifact.objects.filter(
        evaluation__branch=branch, kind="reconstructions", name=picture.name
    ).select_related("evaluation")
    same = [
        each for each in found.order_by("evaluation_id") if each.meta["indices"] == picture.meta["indices"]
    ]
    by_step = {each.evaluation.step: each for each in same}
    by_step[picture.evaluation.step] = picture
    return [by_step[step] for step in sorted(by_step)][-FRAMES:]


def traversals(
    _checkpoint: Checkpoint, asked: PartRequest, kept: Kept, _query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one sprite for each group or dimension."""
    return {
        "sprites": kept.artifacts.get("traversals", []),
        "directions": DIRECTIONS,
        "direction": kept.evaluation.options.get("direction", asked.spec.direction)
        if kept.evaluation
        else asked.spec.direction,
    }


def sort(checkpoint: Checkpoint, asked: PartRequest, kept: Kept, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lowest and highest images of each group or dimension, with a target of each.

    The target is the one that is asked for, else the group's own, else the first.
    """
    found = kept.artifacts.get("sort", [])
    names = list(dict.fromkeys(name for each in found for name in each.meta["lowest"]["targets"]))
    wanted = query.get("target", "")
    shown = []
    for artifact in found:
        own = artifact.meta["group"] if artifact.meta["group"] in names else ""
        target = wanted if wanted in names else own or next(iter(names), "")
        ends = [
            (end, _sorted_images(artifact.meta[end], offset, target))
            for end, offset in (("lowest", 0), ("highest", artifact.meta["columns"]))
        ]
        shown.append((artifact, ends))
    return {
        "sorted": shown,
        "target_names": [OWN_TARGET, *names] if names else [],
        "shown_target": wanted if wanted in names else OWN_TARGET,
        **traversals(checkpoint, asked, kept, query),
    }


def _sorted_images(rows: Mapping[str, Any], offset: int, target: str) -> list[dict[str, Any]]:
    images = []
    for number, (row, activation) in enumerate(zip(rows["indices"], rows["activations"], strict=True)):
        values = {name: _written(column[number]) for name, column in rows["targets"].items()}
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        words = f"image {row}: activation {activation:.3g}" + (f"; {told}" if told else "")
        images.append({"tile": offset + number, "words": words, "target": values.get(target, "")})
    return images


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def attention(
    _checkpoint: Checkpoint, _asked: PartRequest, kept: Kept, _query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the pictures, and the map of each factor."""
    found = kept.artifacts.get("attention", [])
    return {
        "inputs": next((each for each in found if each.name == "inputs"), None),
        "maps": [
            {
                "pk": each.pk,
                "meta": each.meta,
                "share": f"{100 * each.meta['mean']:.0f} %",
                "most": f"{100 * each.meta['highest']:.0f} %",
            }
            for each in found
            if "slot" in each.meta
        ],
    }


def ufr(checkpoint: Checkpoint, asked: PartRequest, kept: Kept, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the matrix, what is behind the chosen cell, the metrics beside it, and UFR over training."""
    over_steps = _trend_of(checkpoint.branch, kept.evaluation)
    blob = next(iter(kept.artifacts.get("ufr", [])), None)
    if blob is None:
        return {"curve": over_steps}
    found = matrix.load(blob)
    images = next(iter(kept.artifacts.get("ufr_images", [])), None)
    places = matrix.views(found)
    view = query.get("view", matrix.OWN)
    view = view if view in places else matrix.OWN
    key = query.get("cell", "")
    also = {name: asked.chosen[name] for name in ("dataset", "rows") if name in asked.chosen}
    if asked.evaluation:
        also["evaluation"] = asked.evaluation
    return {
        "found": found,
        "also": also,
        "also_query": f"&{urlencode(also)}" if also else "",
        "measured": _measured(checkpoint, asked),
        "blob": blob,
        "images": images,
        "concepts": found["ufr"]["concepts"],
        "matrix": matrix.table(found, view),
        "chance": matrix.by_chance(found),
        "sentence": sentences.summary(found, checkpoint.spec),
        "views": places,
        "view": view,
        "scores": matrix.concepts(found),
        "sisters": matrix.sisters(found),
        "leakage": matrix.leakage(found),
        "cleanness": sorted(found["cleanness"].items()),
        "cell": key,
        "cell_words": key.split("|"),
        "levels": matrix.levels(found, key, view, images) if key else None,
        "curve": over_steps,
    }


def _measured(checkpoint: Checkpoint, asked: PartRequest) -> list[dict[str, Any]]:
    """Return each way in which UFR was measured of a checkpoint, the newest first, if there are several."""
    parts = measured(checkpoint, asked)
    if len(parts) < 2:
        return []
    evaluations = [part.evaluation_id for part in parts]
    named = concepts_of(evaluations)
    rows = Metric.objects.filter(evaluation__in=evaluations, task_key="", name="ufr", concept="")
    values = dict(rows.values_list("evaluation", "value"))
    return [
        {
            "pk": part.evaluation_id,
            "concepts": named.get(part.evaluation_id, []),
            "dataset": part.evaluation.dataset,
            "value": values.get(part.evaluation_id),
            "query": urlencode({**asked.chosen, "evaluation": part.evaluation_id}),
        }
        for part in parts
    ]


def concepts_of(evaluations: Collection[int]) -> dict[int, list[str]]:
    """Return the concepts that UFR of each evaluation is of, by name."""
    rows = Metric.objects.filter(evaluation__in=evaluations, task_key="", name="ufr_concept")
    found: dict[int, list[str]] = {}
    for pk, concept in rows.order_by("concept").values_list("evaluation", "concept"):
        found.setdefault(pk, []).append(concept)
    return found


BUILDERS = {
    "metrics": metrics,
    "reconstructions": reconstructions,
    "traversals": traversals,
    "sort": sort,
    "attention": attention,
    "ufr": ufr,
}


def picker(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the checkpoints of the experiment by branch, newest first, and the neighbours on the branch."""
    found = checkpoint.experiment.checkpoints.select_related("branch").only(
        "id", "step", "tag", "branch__name", "branch__id", "kind"
    )
    by_branch: dict[str, list[Checkpoint]] = {}
    for each in found.order_by("branch_id", "-step", "-id")[:1000]:
        by_branch.setdefault(each.branch.name, []).append(each)
    own = sorted(by_branch.get(checkpoint.branch.name, []), key=lambda each: (each.step, each.pk))
    places = [each.pk for each in own]
    at = places.index(checkpoint.pk) if checkpoint.pk in places else 0
    return {
        "by_branch": list(by_branch.items()),
        "before": own[at - 1] if at > 0 else None,
        "after": own[at + 1] if at + 1 < len(own) else None,
    }


def curves(branch: Branch, sample: str = "") -> list[Curve]:
    """Return UFR of the branch over its steps, the newest of each step: a curve for each dataset and set of options.

    sample: only the curve of this one (``Metric.kind_of_sample``). The one measured last comes first.
    """
    rows = Metric.objects.filter(
        evaluation__branch=branch, task_key="", name="ufr", concept="", value__isnull=False
    ).defer("without")
    if sample:
        rows = rows.filter(sample__in=[sample, ""])  # of those without a name it is made of their options
    found: dict[str, dict[int, Metric]] = {}
    for row in rows.select_related("evaluation").order_by("evaluation_id"):
        by_step = found.pop(row.kind_of_sample, {})
        found[row.kind_of_sample] = {**by_step, row.evaluation.step: row}
    plotted: list[Curve] = []
    samples = Samples(branch)
    for kind, by_step in reversed(found.items()):
        if sample and kind != sample:
            continue
        values = [by_step[step] for step in sorted(by_step)][-POINTS:]
        drawn = plot(values, samples.name(values[0]))
        if drawn is not None:
            plotted.append(drawn)
    return plotted


def _trend_of(branch: Branch, evaluation: Evaluation | None) -> Curve | None:
    """Return the curve that the UFR of an evaluation is a point of, or the newest one."""
    row = evaluation.metrics.filter(task_key="", name="ufr", concept="").first() if evaluation else None
    return next(iter(curves(branch, row.kind_of_sample if row else "")), None)


def _trends(branch: Branch, step: int) -> dict[tuple[str, str, str], list[float]]:
    """Return the last values up to a step by task, metric, and what they were measured on."""
    rows = Metric.objects.filter(
        evaluation__branch=branch, evaluation__step__lte=step, concept="", group="", value__isnull=False
    ).defer("without")
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in rows.select_related("evaluation").order_by("evaluation__step", "evaluation_id"):
        assert row.value is not None
        found.setdefault((row.task_key, row.name, row.kind_of_sample), {})[row.evaluation.step] = row.value
    return {key: list(values.values())[-TREND:] for key, values in found.items()}


def _thresholds(branch: Branch) -> dict[tuple[str, str], tuple[float, float, str]]:
    found: dict[tuple[str, str], tuple[float, float, str]] = {}
    for where, source in ((None, "this site"), (branch, "this branch")):
        for row in Threshold.objects.filter(branch=where):
            found[row.task_key, row.name] = (row.moderate, row.good, source)
    return found


def is_kept(checkpoint: Checkpoint, asked: PartRequest, kept: Kept) -> bool:
    """Return whether what is shown is what today's options give, or one of several that the page leads to."""
    if kept.part is None:
        return False
    if asked.evaluation:
        return True
    key = part_key(checkpoint, asked.spec, asked.part)
    return key == kept.part.key or any(key == part.key for part in measured(checkpoint, asked))

"""What the page of a comparison shows, tab by tab: queries only, nothing here starts work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from acc.errors import InvalidInput
from accsite.apps.evaluation.models import Artifact, Evaluation
from accsite.apps.evaluation.pages import hues, matrix, sentences
from accsite.apps.evaluation.pages.bars import Axis, Bar
from accsite.apps.evaluation.selectors import asked, comparing
from accsite.apps.evaluation.selectors.asked import DIRECTIONS, Kept
from accsite.apps.evaluation.services.keys import OPTIONS
from accsite.apps.training.models import Checkpoint, Experiment, Task
from accsite.apps.training.pages.lines import Line, line_to
from accsite.ids import row_id

NAMES = ("a", "b", "c", "d", "e", "f")
TABS = {
    "metrics": "Metrics",
    "losses": "Losses",
    "traversals": "Traversals",
    "reconstructions": "Reconstructions",
    "ufr": "UFR",
}
MEASURED = tuple(tab for tab in TABS if tab != "losses")
"""The tabs that show what an evaluation has measured."""


@dataclass(frozen=True)
class LossCurves:
    """The loss of a task in a comparison: how it ended for each checkpoint; None where it was not trained."""

    series: str
    title: str
    ends: list[float | None]
    until: int
    """The last step of the branches that have it."""


@dataclass(frozen=True)
class Side:
    """One checkpoint of a comparison, under its letter, and what is kept of it for a tab."""

    letter: str
    checkpoint: Checkpoint
    kept: Kept

    @property
    def hues(self) -> dict[str, int]:
        """The hues of the factor groups of its model."""
        return hues.of_spec(self.checkpoint.spec)

    @property
    def line(self) -> Line:
        """The jobs that led to it, on one axis of its branch's steps."""
        return line_to(self.checkpoint)

    def artifact(self, kind: str, name: str) -> Artifact | None:
        return next((each for each in self.kept.artifacts.get(kind, []) if each.name == name), None)


def read(user: Any, query: Mapping[str, Any], *, least: int = 2) -> list[Checkpoint]:
    """Return the checkpoints that an address names, ``least`` (1 or 2) to six; raises InvalidInput (checkpoints)."""
    given = [query[name].strip() for name in NAMES if query.get(name, "").strip()]
    wrong = next((text for text in given if not row_id(text)), None)
    if wrong is not None:
        raise InvalidInput({"checkpoints": f"{wrong[:80]!r} is not the id of a checkpoint"})
    ids = [int(text) for text in given]
    if len(ids) != 1 or least > 1:
        ids = comparing.check_ids(ids)
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user), pk__in=ids)
    found = {row.pk: row for row in rows.select_related("branch__experiment", "experiment")}
    missing = next((pk for pk in ids if pk not in found), None)
    if missing is not None:
        raise InvalidInput({"checkpoints": f"there is no checkpoint {missing} that you may see"})
    return [found[pk] for pk in ids]


def address(checkpoints: Sequence[Checkpoint], where: str = "evaluation:compare", **query: Any) -> str:
    """Return the address of a comparison; it holds all of it."""
    ids = {letter: each.pk for letter, each in zip(NAMES, checkpoints, strict=False)}
    return f"{reverse(where)}?{urlencode({**ids, **{name: text for name, text in query.items() if text}})}"


def dataset_of(checkpoints: Sequence[Checkpoint], query: Mapping[str, Any]) -> str:
    """Return the one dataset that all tabs look at; raises InvalidInput (dataset) for one that none was measured on."""
    wanted = str(query.get("dataset", ""))
    if wanted:
        comparing.require_measured(checkpoints, wanted)
    return comparing.common_dataset(checkpoints, wanted)


def rows_of(query: Mapping[str, Any]) -> str:
    """Return the rows that all tabs are of (``EvalSpec.rows``): those that the address names, else those held out."""
    return asked.read("metrics", query).spec.rows


def other_rows(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Return what any of the checkpoints was measured on beside the rows held out, in the order of ``asked.ROWS``."""
    found = Evaluation.objects.filter(checkpoint__in=checkpoints).values_list("options__rows", flat=True)
    measured = set(found.order_by().distinct())
    return [rows for rows in asked.ROWS if rows in measured]


def sides(checkpoints: Sequence[Checkpoint], tab: str, query: Mapping[str, Any]) -> list[Side]:
    """Return the checkpoints with what is kept of each for a tab: of one dataset, with the same options."""
    letters = zip(NAMES, checkpoints, strict=False)
    if tab not in MEASURED:
        return [Side(letter.upper(), each, Kept()) for letter, each in letters]
    given = {name: text for name, text in query.items() if name != "dataset"}
    wanted = asked.read(tab, given)
    dataset = dataset_of(checkpoints, query) if "dataset" in OPTIONS[tab] else ""
    found = asked.kept_alike(checkpoints, wanted, dataset)
    return [Side(letter.upper(), each, kept) for (letter, each), kept in zip(letters, found, strict=True)]


def metrics(found: Sequence[Side], query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of the table, those of single concepts and groups apart."""
    checkpoints = [side.checkpoint for side in found]
    comparison = comparing.compare(checkpoints, str(query.get("dataset", "")), rows_of(query))
    tasks: dict[str, Task] = {}
    for side in reversed(found):
        tasks |= {task.key: task for task in side.checkpoint.branch.tasks.all()}
    rows = [(row, tasks.get(row.task), _cells(row, found)) for row in comparison.metrics]
    return {
        "rows": [each for each in rows if not each[0].concept and not each[0].group],
        "detailed": [each for each in rows if each[0].concept or each[0].group],
    }


def _cells(row: comparing.Row, sides: Sequence[Side]) -> list[tuple[str, comparing.Measured, Bar | None]]:
    """Return each value of a row under its letter, with its difference from the first as a bar around 0."""
    reach = max(
        (
            abs(number)
            for value in row.values
            for number in (value.difference, value.difference_low, value.difference_high)
            if number is not None
        ),
        default=0.0,
    )
    scale = Axis(-reach, reach)
    return [
        (
            side.letter,
            value,
            scale.bar(value.difference, value.difference_low, value.difference_high, trivial=0.0),
        )
        for side, value in zip(sides, row.values, strict=True)
    ]


def traversals(found: Sequence[Side], query: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each group or dimension the sprite of each checkpoint; seeds and steps are the same."""
    wanted = asked.read("traversals", query).spec.direction
    return {**_pictures(found, "traversals"), "directions": DIRECTIONS, "direction": wanted}


def reconstructions(found: Sequence[Side], _query: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each dataset the pictures of each checkpoint."""
    return _pictures(found, "reconstructions")


def ufr(found: Sequence[Side], _query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the matrix of each checkpoint, and of all but the first the difference from the first."""
    results = []
    for side in found:
        blob = next(iter(side.kept.artifacts.get("ufr", [])), None)
        results.append(matrix.load(blob) if blob is not None else None)
    first = results[0]
    return {
        "matrices": [
            {
                "side": side,
                "found": result,
                "concepts": result["ufr"]["concepts"] if result else [],
                "matrix": matrix.table(result) if result else [],
                "scores": matrix.concepts(result) if result else [],
                "shared": matrix.shared(first, result) if first and result and number else [],
                "difference": matrix.difference(first, result) if first and result and number else [],
                "sentence": sentences.summary(result, side.checkpoint.spec) if result else "",
                "change": sentences.difference(first, result, side.letter)
                if first and result and number
                else "",
            }
            for number, (side, result) in enumerate(zip(found, results, strict=True))
        ]
    }


def losses(found: Sequence[Side], _query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the loss of each task that a checkpoint was trained with; the curves are drawn by the page's script."""
    titles: dict[str, str] = {}
    for side in found:
        named = {f"raw/{task['key']}": task["name"] for task in side.checkpoint.spec.get("tasks", ())}
        titles |= {
            name: named.get(name, name.removeprefix("raw/"))
            for name in (*named, *side.checkpoint.losses)
            if name.startswith("raw/") and name not in titles and name in side.checkpoint.losses
        }
    return {
        "letters": {number: side.letter for number, side in enumerate(found)},
        "curves": [
            LossCurves(
                name,
                title,
                [side.checkpoint.losses.get(name) for side in found],
                max(side.checkpoint.step for side in found if name in side.checkpoint.losses),
            )
            for name, title in titles.items()
        ],
    }


BUILDERS = {
    "metrics": metrics,
    "traversals": traversals,
    "reconstructions": reconstructions,
    "ufr": ufr,
    "losses": losses,
}


def _pictures(found: Sequence[Side], kind: str) -> dict[str, Any]:
    names = dict.fromkeys(each.name for side in found for each in side.kept.artifacts.get(kind, []))
    rows = []
    for name in names:
        shown = [(side, side.artifact(kind, name)) for side in found]
        images = {tuple(each.meta["indices"]) for _, each in shown if each is not None}
        rows.append({"name": name, "shown": shown, "linked": len(images) == 1})
    return {"pictures": rows}

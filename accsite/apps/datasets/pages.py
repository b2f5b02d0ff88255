"""What the pages of datasets show, in the words they show it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from acc.data import exporters
from acc.data.importers.mapping import ImportMapping, TargetMapping
from acc.errors import InvalidInput
from acc.names import listed
from accsite.apps.datasets import mapping_options, plots, selectors
from accsite.apps.datasets.choice import Choice
from accsite.apps.datasets.mapping_form import flat_words, sides_words
from accsite.apps.datasets.models import Dataset

UNDO_SECONDS = 10
SAMPLES_A_PAGE = 60
COLUMNS = 12
PAGE_PIXELS = 2**22
"""Pixels of a page's samples at most: larger images come in smaller pages."""
MAX_TICKS = 24
"""Classes that are ticked one by one; of more, a range of numbers is chosen."""


@dataclass(frozen=True)
class Sample:
    """One image of the grid: its number, its place in the sprite in pixels, and its targets in words."""

    index: int
    x: int
    y: int
    caption: str
    description: str


@dataclass(frozen=True)
class Tick:
    """One class that can be ticked."""

    value: int
    label: str
    on: bool


@dataclass(frozen=True)
class Target:
    """A target column: what it is, how its values lie, and what is chosen of it."""

    name: str
    kind: str
    unit: str
    facts: list[tuple[str, str]]
    bars: list[plots.Bar]
    edges: list[float]
    span: tuple[float, float] | None
    low: str
    high: str
    ticks: list[Tick]
    filtered: bool
    total: int
    selected: int | None
    errors: list[str]

    @property
    def facts_line(self) -> str:
        """Its facts with dots between them; a line breaks at a dot, never within a fact."""
        return " · ".join(f"{word} {value}".replace(" ", "\N{NO-BREAK SPACE}") for word, value in self.facts)

    @property
    def histogram_label(self) -> str:
        """What its histogram shows, for who cannot see it."""
        chosen = "" if self.selected is None else f", {self.selected:,} of them chosen"
        return (
            f"Histogram of {self.name.replace('_', ' ')}: {self.total:,} samples{chosen}; "
            "the counts are in the table below"
        )


@dataclass(frozen=True)
class Grid:
    """A page of samples with the address of its picture; ``captioned``: what stands below each, in words."""

    samples: list[Sample]
    total: int
    first: int
    last: int
    page: int
    pages: int
    sprite_url: str
    width: int
    height: int
    captioned: str


def sprite_url(dataset: Dataset, **query: Any) -> str:
    """Return the address of a picture of samples; it changes with the content, so it can be kept."""
    asked = {**query, "v": dataset.content_hash[:8]}
    return f"{reverse('api:dataset-sprite', args=[dataset.slug])}?{urlencode(asked)}"


def just_removed() -> list[Dataset]:
    """Return the datasets whose removal can still be undone from where they were."""
    since = timezone.now() - timedelta(seconds=UNDO_SECONDS)
    return list(Dataset.every.filter(removed_at__gt=since).order_by("name"))


def grid(dataset: Dataset, choice: Choice) -> Grid:
    """Return the page of samples that an address asks for; the last one if there are fewer."""
    size = dataset.height * dataset.width
    a_page = max(1, min(SAMPLES_A_PAGE, PAGE_PIXELS // size))
    total = len(selectors.rows(dataset, choice.query))
    pages = max(1, -(-total // a_page))
    page = min(max(1, choice.page), pages)
    offset = (page - 1) * a_page
    found = selectors.samples(dataset, choice.query, offset=offset, limit=a_page)
    indices = found["indices"]
    columns = max(1, min(COLUMNS, len(indices)))
    shown = [target["name"] for target in dataset.targets]
    caption = choice.query.get("sort") or next(iter(shown), "")
    said = [
        {
            target["name"]: value_words(target, found["values"][target["name"]][place])
            for target in dataset.targets
        }
        for place in range(len(indices))
    ]
    return Grid(
        samples=[
            Sample(
                index=index,
                x=-(place % columns) * dataset.width,
                y=-(place // columns) * dataset.height,
                caption=said[place].get(caption, f"{index:,}"),
                description=", ".join(
                    [
                        f"Sample {index:,}",
                        *(f"{name.replace('_', ' ')} {value}" for name, value in said[place].items()),
                    ]
                ),
            )
            for place, index in enumerate(indices)
        ],
        total=total,
        first=offset + 1 if indices else 0,
        last=offset + len(indices),
        page=page,
        pages=pages,
        sprite_url=sprite_url(dataset, **choice.query, offset=offset, limit=a_page, columns=columns),
        width=columns * dataset.width,
        height=-(-len(indices) // columns) * dataset.height,
        captioned=(caption if caption in shown else "number").replace("_", " "),
    )


def value_words(target: Mapping[str, Any], value: float) -> str:
    """Return one value of a target: the label of a class, or a number."""
    if target["kind"] == "class":
        labels = target.get("labels")
        return str(labels[int(value)]) if labels else str(int(value))
    return f"{float(f'{value:.3g}'):g}"


def targets(dataset: Dataset, choice: Choice) -> list[Target]:
    """Return the target columns with their histograms, those that pass the filters over all."""
    return [_target(dataset, target, choice) for target in dataset.targets]


def _target(dataset: Dataset, target: dict[str, Any], choice: Choice) -> Target:
    name = target["name"]
    found = selectors.histogram(dataset, name, choice.filters, bins=30)
    series = [found["counts"], *([found["selected"]] if found["selected"] is not None else [])]
    low, high, among = (choice.value(name, kind) for kind in ("min", "max", "in"))
    classes = int(target.get("classes") or 0) if target["kind"] == "class" else 0
    labels = [str(label) for label in target.get("labels") or map(str, range(classes))]
    chosen = set(listed(among)) if among else set()
    return Target(
        name=name,
        kind=target["kind"],
        unit=target.get("unit") or "",
        facts=column_facts(target),
        bars=plots.bars(found["edges"], *series, target=target),
        edges=[found["edges"][0], found["edges"][-1]],
        span=plots.span_of(found["edges"], low, high),
        low=low,
        high=high,
        ticks=[
            Tick(number, labels[number], bool({str(number), labels[number]} & chosen))
            for number in range(classes)
        ]
        if classes <= MAX_TICKS
        else [],
        filtered=bool(low or high or among),
        total=found["total"],
        selected=sum(found["selected"]) if found["selected"] is not None else None,
        errors=[
            said
            for field, all_said in choice.errors.items()
            if field.rpartition(".")[0] == name
            for said in all_said
        ],
    )


def column_facts(target: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a target column: how many classes, or range, mean and spread.

    A mean far below the spread is what rounding left of 0, and said so.
    """
    if target["kind"] == "class":
        counts = target.get("counts") or []
        facts = [("classes", str(target.get("classes")))]
        if counts:
            facts.append(
                (
                    "a class",
                    f"{min(counts):,} to {max(counts):,}" if min(counts) != max(counts) else f"{counts[0]:,}",
                )
            )
        return facts
    facts = []
    if target.get("min") is not None and target.get("max") is not None:
        facts.append(("range", f"{plots.figure(target['min'])} to {plots.figure(target['max'])}"))
    finest = (target.get("std") or 0) * 1e-5
    for key, word in (("mean", "mean"), ("std", "sd")):
        if target.get(key) is not None:
            about_0 = 0 < abs(target[key]) < finest
            facts.append((word, "about 0" if about_0 else f"{float(f'{target[key]:.3g}'):g}"))
    return facts


def plot(dataset: Dataset, choice: Choice) -> dict[str, Any] | None:
    """Return the plot of two targets; None for a dataset that has fewer."""
    if not choice.x:
        return None
    by_name = {target["name"]: target for target in dataset.targets}
    x, y = by_name[choice.x], by_name[choice.y]
    found = selectors.pairs(dataset, choice.x, choice.y, bins=plots.PAIR_BINS)
    cells = plots.cells(found, x, y)
    ends = {
        side: [
            plots.bin_words(edges, 0, target).partition(" to ")[0],
            plots.bin_words(edges, len(edges) - 2, target).rpartition(" to ")[2],
        ]
        for side, edges, target in (("x", found["x_edges"], x), ("y", found["y_edges"], y))
    }
    across, up = choice.x.replace("_", " "), choice.y.replace("_", " ")
    most = max((max(row) for row in found["counts"]), default=0)
    return {
        "x": choice.x,
        "y": choice.y,
        "label": f"{up} against {across}: {len(cells)} cells hold samples, at most {most:,} each",
        "x_unit": x.get("unit") or "",
        "y_unit": y.get("unit") or "",
        "cells": cells,
        "side": plots.SIDE,
        "most": most,
        "ends": ends,
        "names": list(by_name),
    }


@dataclass(frozen=True)
class Imported:
    """How a dataset was imported: facts of its mapping in words, each target, and the command that does it again."""

    facts: list[tuple[str, str]]
    targets: list[TargetMapping]
    command: str


def imported(dataset: Dataset) -> Imported | None:
    """Return how a dataset was imported by a mapping; None for one that was not."""
    kept = dataset.provenance.get("mapping")
    if not isinstance(kept, dict):
        return None
    try:
        mapping = ImportMapping.parse(kept)
    except InvalidInput:  # of a version that has other fields
        return None
    told = [str(dataset.provenance.get(name) or "") for name in ("file", "labels")]
    command = mapping_options.command(mapping, told[0] or "FILE", told[1])
    return Imported(_mapping_facts(mapping), list(mapping.targets), command)


def _mapping_facts(mapping: ImportMapping) -> list[tuple[str, str]]:
    steps = mapping.steps
    done = [
        *(["transposed"] if steps.transpose else []),
        *([f"{steps.background} behind transparent pixels"] if steps.background else []),
        *(["grey"] if steps.grey else []),
        *([f"cropped to {sides_words(steps.crop)}"] if steps.crop else []),
        *([f"resized to {sides_words(steps.resize)}"] if steps.resize else []),
    ]
    facts = {
        "images": mapping.images,
        "channel axis": "" if mapping.channels == "none" else mapping.channels,
        "rows as images": flat_words(mapping.flat),
        "scale": mapping.scale,
        "stored as": mapping.pixels,
        "steps": ", ".join(done),
        "id": mapping.id,
        "split": mapping.split,
        "parts taken": ", ".join(mapping.parts),
        "unit": mapping.units,
        "grid": " x ".join(f"{factor.name} {factor.size}" for factor in mapping.grid),
        "left out": ", ".join(mapping.left_out),
    }
    return [(word, value) for word, value in facts.items() if value]


def split_words(dataset: Dataset) -> str:
    """Return the parts of the split that came with a dataset, with their rows; empty without one."""
    return ", ".join(f"{rows:,} {part}" for part, rows in (selectors.split_of(dataset) or {}).items())


def provenance(dataset: Dataset) -> list[tuple[str, str]]:
    """Return where a dataset came from, the parameters after the rest; how it was imported is told by ``imported``."""
    known = {name: value for name, value in dataset.provenance.items() if name != "mapping"}
    params = known.pop("params", None)
    rows = flat(known)
    return [*rows, *flat(params)] if isinstance(params, dict) else rows


def flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts as (dotted name, value)."""
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, Mapping):
            rows.extend(flat(item, f"{prefix}{name}."))
        elif item not in (None, "", []):
            text = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            rows.append((f"{prefix}{name}".replace("_", " "), text))
    return rows


def exports(dataset: Dataset) -> list[tuple[str, str, str]]:
    """Return (format, what it is, address) of each way to take a dataset away."""
    words = {
        "npz": "NumPy arrays",
        "pt": "PyTorch tensors",
        "zip": "PNGs and a table",
        "csv": "targets only",
    }
    place = reverse("api:dataset-export", args=[dataset.slug])
    return [(kind, words.get(kind, ""), f"{place}?format={kind}") for kind in exporters.KINDS]

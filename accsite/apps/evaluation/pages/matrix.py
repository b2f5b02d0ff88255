"""The UFR matrix as a page shows it: tables of cells made from the stored result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acc.results import graded
from accsite import blobs
from accsite.apps.evaluation.models import Artifact

OWN = "own"
ALL = "*"

SISTERS: tuple[tuple[str, str, str, str], ...] = (
    ("DCI disentanglement", "dci_gam_disentanglement", "dci_gam_disentanglement_groups", ""),
    ("DCI completeness", "dci_gam_completeness", "dci_gam_completeness_groups", ""),
    ("DCI informativeness", "dci_gam_informativeness", "", ""),
    ("MIG", "mig", "mig_groups", "a dimension that stands twice gives 0 by definition; its group does not"),
    ("MIG, corrected for bias", "mig_corrected", "mig_corrected_groups", ""),
    ("SAP", "sap", "sap_groups", "blind to codes that are not monotone"),
    ("Modularity", "modularity", "modularity_groups", "not corrected for chance: pure noise has about .75"),
    ("Explicitness", "explicitness", "explicitness_own", "groups: each concept from its own group alone"),
    ("Parallelism", "parallelism", "parallelism_own", "groups: each concept in its own group"),
    ("Effective rank", "effective_rank", "", ""),
    ("Effective rank, standardised", "effective_rank_standardised", "", ""),
    ("Participation ratio", "participation_ratio", "", ""),
)


@dataclass(frozen=True)
class Cell:
    """One number of a table. ``key`` opens its images."""

    value: float | None
    low: float | None = None
    high: float | None = None
    ceiling: float | None = None
    chance: float | None = None
    reason: str = ""
    key: str = ""

    @property
    def change(self) -> str:
        """The class of its colour as a difference; empty where there is none to speak of."""
        if self.value is None or abs(self.value) < 0.005:
            return ""
        return f"{'up' if self.value > 0 else 'down'}{min(4, 1 + int(abs(self.value) * 5))}"

    @property
    def shade(self) -> str:
        """The class of its colour round chance: ``p0`` to ``p10`` above it, ``n1`` to ``n5`` below; empty for none."""
        if self.value is None:
            return ""
        chance = self.chance or 0.0
        part = round(10 * (self.value - chance) / max(1.0 - chance, 1e-9))
        return f"p{min(10, part)}" if part >= 0 else f"n{min(5, -part)}"


@dataclass(frozen=True)
class Level:
    """A level of a context: its images, and the skill of the probe fitted on it at each level."""

    name: str
    cells: Sequence[Cell]
    tiles: Sequence[int]
    reason: str


def load(artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(blobs.open_local(artifact.file, artifact.sha256).read_bytes())
    return found


def views(found: Mapping[str, Any]) -> list[str]:
    """Return from where concepts can be read: their own group, all dimensions, each group."""
    return [OWN, *found["ufr"]["views"]]


def table(found: Mapping[str, Any], view: str = OWN) -> list[tuple[str, str, list[Cell]]]:
    """Return concept, the place it is read from, and a cell for each context: the transfer between its levels.

    The ceiling is the skill within the same level; the diagonal is empty.
    """
    ufr = found["ufr"]
    names, concepts, skills = ufr["views"], ufr["concepts"], ufr["skills"]
    rows = []
    for c, concept in enumerate(concepts):
        place = (ufr["own"].get(concept) or ALL) if view == OWN else view
        at = names.index(place) if place in names else 0
        cells = []
        for k, context in enumerate(concepts):
            if c == k:
                cells.append(Cell(None, reason="a concept is no context of itself"))
                continue
            key = f"{concept}|{context}"
            value = skills["across"][at][c][k]
            chance = skills["chance_across"]
            cells.append(
                Cell(
                    value,
                    skills["across_low"][at][c][k] if skills["across_low"] else None,
                    skills["across_high"][at][c][k] if skills["across_high"] else None,
                    skills["within"][at][c][k],
                    _at(chance, at, c, k),
                    "" if value is not None else why(found, concept, context),
                    key,
                )
            )
        rows.append((concept, place, cells))
    return rows


def why(found: Mapping[str, Any], concept: str, context: str) -> str:
    """Return why a cell is empty."""
    dead = found["dead"]
    empty = found["ufr"]["empty"].get(f"{concept}|{context}", {})
    told = [dead.get(concept), dead.get(context), *(f"{level}: {text}" for level, text in empty.items())]
    reason = found["ufr"]["value"]["reason"]
    return next((text for text in told if text), reason or "it is not defined here")


def concepts(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each concept its place, unified, factored, leak and their product."""
    ufr = found["ufr"]
    rows = []
    for name in ufr["concepts"]:
        parts = {part: ufr[part].get(name, {}) for part in ("unified", "factored", "leak", "concept")}
        source = (parts["leak"].get("detail") or {}).get("from")
        named = {"unified": "unified", "factored": "factored", "product": "concept"}
        three = [(words, parts[part]) for words, part in named.items()]
        own = ufr["own"].get(name)
        rows.append({"name": name, "own": own, "leak_from": source, "parts": three, **parts})
    return rows


def levels(
    found: Mapping[str, Any], key: str, view: str = OWN, images: Artifact | None = None
) -> list[Level] | None:
    """Return the levels behind a cell; None if there is no such cell."""
    ufr = found["ufr"]
    concept, _, context = key.partition("|")
    if concept not in ufr["concepts"] or context not in ufr["concepts"] or concept == context:
        return None
    place = (ufr["own"].get(concept) or ALL) if view == OWN else view
    at = ufr["views"].index(place) if place in ufr["views"] else 0
    skills = ufr["matrices"].get(key)
    empty = ufr["empty"].get(key, {})
    drawn = {row: tile for tile, row in enumerate(images.meta["indices"])} if images else {}
    rows = []
    for number, name in enumerate(ufr["levels"][context]):
        numbers = skills[at][number] if skills else []
        shown = found["cells"].get(key, {}).get(name, [])
        rows.append(
            Level(
                name,
                [Cell(value) for value in numbers],
                [drawn[row] for row in shown if row in drawn],
                empty.get(name, ""),
            )
        )
    return rows


def sisters(found: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any] | None, str]]:
    """Return the metrics beside UFR: label, value over dimensions, over groups, and a pitfall."""
    headline = found["headline"]
    return [
        (label, headline.get(name, {}), headline.get(grouped), note)
        for label, name, grouped, note in SISTERS
        if name in headline
    ]


def leakage(found: Mapping[str, Any]) -> list[tuple[str, list[tuple[Cell, bool]]]]:
    """Return for each group the skill with which each concept can be read from it, and whether it is its home."""
    leaks = found["leakage"]
    return [
        (
            group,
            [
                (
                    Cell(skill, chance=_chance_within(found, group, concept), reason=leaks["reason"]),
                    leaks["own"].get(concept) == group,
                )
                for concept, skill in zip(leaks["concepts"], row, strict=True)
            ],
        )
        for group, row in zip(leaks["groups"], leaks["within"], strict=True)
    ]


def _chance_within(found: Mapping[str, Any], group: str, concept: str) -> float | None:
    """Return the mean over contexts of what shuffled labels give; None where it is not known."""
    ufr = found["ufr"]
    if group not in ufr["views"] or concept not in ufr["concepts"]:
        return None
    row = (ufr["views"].index(group), ufr["concepts"].index(concept))
    cells = (_at(ufr["skills"].get("chance_within"), *row, k) for k in range(len(ufr["concepts"])))
    known = [cell for cell in cells if cell is not None]
    return sum(known) / len(known) if known else None


def by_chance(found: Mapping[str, Any]) -> dict[str, str]:
    """Return how UFR stands against chance: its grade, the same in words, and what chance gives."""
    value = found["ufr"]["value"]
    chance, detail = value.get("chance"), value.get("detail") or {}
    if chance is None or value["value"] is None:
        return {}
    grade = graded(value["value"], True, low=value.get("low"), high=value.get("high"), trivial=chance)
    told = f"chance gives {chance:.2f}"
    if "chance_highest" in detail:
        told += f", at most {detail['chance_highest']:.2f} in {detail['permutations']} shuffles of the labels"
    return {"grade": grade, "words": grade.replace("trivial", "chance"), "told": told}


def shared(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the concepts that two results share, in the order of ``b``."""
    return [name for name in b["ufr"]["concepts"] if name in a["ufr"]["concepts"]]


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Return b - a for the concepts and contexts that both have, each read from its own group."""
    cells_a = {cell.key: cell.value for _, _, row in table(a) for cell in row if cell.key}
    both = shared(a, b)
    rows = []
    for concept, _, row in table(b):
        if concept not in both:
            continue
        changed = []
        for cell, context in zip(row, b["ufr"]["concepts"], strict=True):
            if context not in both:
                continue
            before = cells_a.get(cell.key)
            value = cell.value - before if cell.value is not None and before is not None else None
            reason = cell.reason if context == concept else "it is not measured on both sides"
            changed.append(Cell(value, key=cell.key, reason="" if value is not None else reason))
        rows.append((concept, changed))
    return rows


def _at(skills: Any, *where: int) -> float | None:
    for place in where:
        if not isinstance(skills, list) or place >= len(skills):
            return None
        skills = skills[place]
    return skills if isinstance(skills, float | int) else None

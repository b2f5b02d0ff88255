"""What a UFR matrix says, in sentences: each is computed from its numbers, and left out where they do not say so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acc import differences

READABLE = 0.1
"""Skill at or below which a concept counts as not readable; as the engine's judgement has it."""


@dataclass(frozen=True)
class Leak:
    """A concept that can be read from a group that is not its own, with what skill."""

    concept: str
    group: str
    skill: float

    @property
    def words(self) -> str:
        return f"{self.concept} leaks into {self.group}, {self.skill:.2f}"


@dataclass(frozen=True)
class Unheld:
    """A concept that cannot be read from the group that is said to hold it, with what skill it is."""

    concept: str
    group: str
    skill: float
    reader: str
    elsewhere: Leak | None

    @property
    def words(self) -> str:
        """Say so, why it may be so, and where the concept is read instead."""
        why = f", although task {self.reader} reads it" if self.reader else ": no task reads only this group"
        told = f"group {self.group} does not hold {self.concept} ({self.skill:.2f}){why}"
        if self.elsewhere is None:
            return told
        return f"{told}; {self.concept} is read from {self.elsewhere.group}, {self.elsewhere.skill:.2f}"


def leaks(found: Mapping[str, Any]) -> list[Leak]:
    """Return the leaks of a result that are beyond what counts as readable and beyond chance, the greatest first."""
    rows = []
    for concept, value in found["ufr"]["leak"].items():
        source = (value.get("detail") or {}).get("from")
        skill, low, chance = value.get("value"), value.get("low"), value.get("chance") or 0.0
        if source and skill is not None and skill > READABLE and (low is None or low > chance):
            rows.append(Leak(concept, source, skill))
    return sorted(rows, key=lambda leak: -leak.skill)


def unheld(found: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Unheld]:
    """Return the concepts that their own groups do not hold, the worst first; spec: that of the checkpoint.

    Read is what the mean over contexts of the skill within them says, as in the engine's judgement.
    """
    leakage = found.get("leakage", {})
    elsewhere = {leak.concept: leak for leak in leaks(found)}
    rows = []
    for group, skills in zip(leakage.get("groups", ()), leakage.get("within", ()), strict=True):
        for concept, skill in zip(leakage["concepts"], skills, strict=True):
            if leakage["own"].get(concept) == group and skill is not None and skill <= READABLE:
                rows.append(Unheld(concept, group, skill, _reader(spec, group), elsewhere.get(concept)))
    return sorted(rows, key=lambda row: row.skill)


def summary(found: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """Return which groups do not hold their concepts, where the others leak to, which keep to their own place, and
    what holds the score down; spec: that of the checkpoint."""
    missing = unheld(found, spec)
    absent = {row.concept for row in missing}
    measured = [
        concept
        for concept, value in found["ufr"]["leak"].items()
        if value.get("value") is not None and concept not in absent
    ]
    first = " ".join(_sentence(row.words) for row in missing)
    if not measured:
        return first
    told = [leak.words for leak in leaks(found) if leak.concept not in absent]
    quiet = [concept for concept in measured if _is_quiet(found, concept)]
    if len(quiet) == len(measured) > 1 and not absent:
        told = ["nothing leaks"]
    elif quiet:
        told.append(f"{_listed(quiet)} {'does' if len(quiet) == 1 else 'do'} not leak")
    return f"{first} {_sentence('; '.join(told))}{_weakest(found, absent)}".strip()


def difference(a: Mapping[str, Any], b: Mapping[str, Any], letter: str) -> str:
    """Return what is held or leaks in only one of ``a`` and ``b``, and what leaks more or less in ``b``.

    Empty where nothing does, and where the two did not look at the same images: then nothing is claimed. More or less
    is what lies beyond the noise of these images.
    """
    if not a.get("sample") or a.get("sample") != b.get("sample"):
        return ""
    empty, missing = ({row.concept: row for row in unheld(each, {})} for each in (a, b))
    before, after = ({leak.concept: leak for leak in leaks(each)} for each in (a, b))
    told = [
        f"in {letter} group {row.group} does not hold {name}"
        for name, row in missing.items()
        if name not in empty
    ]
    told += [
        f"only in {letter} group {row.group} holds {name}"
        for name, row in empty.items()
        if name not in missing
    ]
    gone = [concept for concept in before if _is_quiet(b, concept) and concept not in missing]
    if gone:
        told.append(f"{_listed(gone)} no longer {'leaks' if len(gone) == 1 else 'leak'} in {letter}")
    told += [f"in {letter} {leak.words}" for concept, leak in after.items() if _is_quiet(a, concept)]
    for concept, one in before.items():
        other = after.get(concept)
        first, second = (each["ufr"]["leak"].get(concept, {}).get("without", ()) for each in (a, b))
        sure = differences.difference(one.skill, first, other.skill, second) if other else None
        if other and sure and sure.beyond_noise:
            word = "more" if sure.value > 0 else "less"
            told.append(f"{concept} leaks {word}, {one.skill:.2f} in A and {other.skill:.2f} in {letter}")
    return _sentence("; ".join(told))


def _is_quiet(found: Mapping[str, Any], concept: str) -> bool:
    """Return whether a concept was measured and can be read from nowhere but its own group."""
    skill = found["ufr"]["leak"].get(concept, {}).get("value")
    return skill is not None and skill <= READABLE


def _reader(spec: Mapping[str, Any], group: str) -> str:
    """Return the name of a task that reads a group, or a part of it, and nothing else; empty for none."""
    model = spec.get("model", {})
    place = next((each for each in model.get("factor_groups", ()) if each["name"] == group), None)
    for task in spec.get("tasks", ()):
        part = task.get("latent_slice")
        inside = bool(part and place and place["start"] <= part[0] and part[1] <= place["end"])
        if task.get("enabled", True) and (task.get("factor") == group or inside):
            return str(task["name"])
    return ""


def _weakest(found: Mapping[str, Any], said: Collection[str]) -> str:
    """Return which concept holds the score down most; empty unless one stands out among several, and was not said."""
    ufr = found["ufr"]
    scores = {
        name: value["value"] for name, value in ufr["concept"].items() if value.get("value") is not None
    }
    if len(scores) < 2:
        return ""
    name = min(scores, key=lambda concept: scores[concept])
    if name in said or sum(value == scores[name] for value in scores.values()) > 1:
        return ""
    parts = [
        f"{part} {ufr[part][name]['value']:.2f}"
        for part in ("unified", "factored")
        if ufr[part].get(name, {}).get("value") is not None
    ]
    return f" Lowest is {name}: {', '.join(parts)}." if parts else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""

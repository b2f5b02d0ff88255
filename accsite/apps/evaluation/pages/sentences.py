"""What a UFR matrix says, in sentences: each is computed from its numbers, and left out where they do not say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        return f"{self.concept} leaks from {self.group}, {self.skill:.2f}"


def leaks(found: Mapping[str, Any]) -> list[Leak]:
    """Return the leaks of a result that are beyond what counts as readable and beyond chance, the greatest first."""
    rows = []
    for concept, value in found["ufr"]["leak"].items():
        source = (value.get("detail") or {}).get("from")
        skill, low, chance = value.get("value"), value.get("low"), value.get("chance") or 0.0
        if source and skill is not None and skill > READABLE and (low is None or low > chance):
            rows.append(Leak(concept, source, skill))
    return sorted(rows, key=lambda leak: -leak.skill)


def summary(found: Mapping[str, Any]) -> str:
    """Return where concepts leak from, which keep to their own place, and what holds the score down."""
    measured = [concept for concept, value in found["ufr"]["leak"].items() if value.get("value") is not None]
    if not measured:
        return ""
    told = [leak.words for leak in leaks(found)]
    quiet = [concept for concept in measured if _is_quiet(found, concept)]
    if len(quiet) == len(measured) > 1:
        told = ["nothing leaks"]
    elif quiet:
        told.append(f"{_listed(quiet)} {'does' if len(quiet) == 1 else 'do'} not leak")
    return (_sentence("; ".join(told)) + _weakest(found)).strip()


def difference(a: Mapping[str, Any], b: Mapping[str, Any], letter: str) -> str:
    """Return what leaks in ``b`` and does not in ``a``, the other way, and what leaks more or less in ``b``.

    Empty where nothing does, and where the two did not look at the same images: then nothing is claimed. More or less
    is what lies beyond the noise of these images.
    """
    if not a.get("sample") or a.get("sample") != b.get("sample"):
        return ""
    before, after = ({leak.concept: leak for leak in leaks(each)} for each in (a, b))
    gone = [concept for concept in before if _is_quiet(b, concept)]
    told = []
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


def _weakest(found: Mapping[str, Any]) -> str:
    """Return which concept holds the score down most; empty unless one stands out among several."""
    ufr = found["ufr"]
    scores = {
        name: value["value"] for name, value in ufr["concept"].items() if value.get("value") is not None
    }
    if len(scores) < 2:
        return ""
    name = min(scores, key=lambda concept: scores[concept])
    if sum(value == scores[name] for value in scores.values()) > 1:
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

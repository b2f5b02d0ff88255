"""What came of one arm with one seed, and which pairs of them may be compared. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from acc.specs import Spec
from acc.studies.plan import Claim, Study

Status = Literal["waiting", "running", "succeeded", "failed", "stopped"]
ENDED = ("succeeded", "failed", "stopped")


class Measured(Spec):
    """One outcome of one checkpoint: a number, or the reason why there is none.

    sample: a name of the images and of what was asked of them; only numbers with the same one are compared. Empty:
    unknown. low, high: the interval over images, which is not that over seeds.
    """

    value: float | None = Field(default=None, allow_inf_nan=False)
    reason: str = ""
    sample: str = ""
    low: float | None = None
    high: float | None = None


class Result(Spec):
    """What came of one arm with one seed.

    reason: why it failed or was stopped. values: outcome -> number. seconds: of training and measuring; images: how
    many it was trained on. facts: what should be the same all over a study, such as ``device`` and ``torch``; settings:
    the hash of what it ran, the seed left out. failed_before: why it failed when it was done before, if it did.
    """

    arm: str
    seed: int
    status: Status = "waiting"
    reason: str = ""
    values: dict[str, Measured] = Field(default_factory=dict)
    seconds: float | None = Field(default=None, ge=0)
    images: int | None = Field(default=None, ge=0)
    settings: str = ""
    facts: dict[str, str] = Field(default_factory=dict)
    failed_before: str = ""


@dataclass(frozen=True)
class Pairs:
    """The paired differences of one claim, first arm less second, seed by seed, in the unit of its outcome.

    values: those of the first and of the second arm. failed: seed -> why it has no difference and will not have one.
    waiting: seeds that may get one yet. refused: why nothing may be said of those there are, or empty.
    """

    seeds: tuple[int, ...] = ()
    values: tuple[tuple[float, float], ...] = ()
    failed: Mapping[int, str] = field(default_factory=dict)
    waiting: tuple[int, ...] = ()
    refused: str = ""

    @property
    def differences(self) -> tuple[float, ...]:
        return tuple(first - second for first, second in self.values)


def by_place(results: Sequence[Result]) -> dict[tuple[str, int], Result]:
    """Return results by (arm, seed); of several of one, the one that came last."""
    return {(result.arm, result.seed): result for result in results}


def pairs(study: Study, claim: Claim, results: Sequence[Result]) -> Pairs:
    """Return the differences that a claim is about.

    A pair is one seed of both arms. One that was measured on other images than its partner refuses the whole claim:
    what is left out must not depend on what came of it.
    """
    known = by_place(results)
    seeds, values, failed, waiting = [], [], {}, []
    for seed in study.seeds:
        both = [
            known.get((name, seed)) or Result(arm=name, seed=seed) for name in (claim.first, claim.second)
        ]
        wrong = [f"{result.arm}: {why}" for result in both if (why := _missing(result, claim.outcome))]
        if wrong:
            failed[seed] = "; ".join(wrong)
        elif any(result.status not in ENDED for result in both):
            waiting.append(seed)
        else:
            one, other = (result.values[claim.outcome] for result in both)
            if one.sample != other.sample:
                refused = (
                    f"seed {seed} of '{claim.first}' was measured on other images than that of '{claim.second}', or "
                    "was asked something else"
                )
                return Pairs(refused=refused)
            assert one.value is not None
            assert other.value is not None
            seeds.append(seed)
            values.append((one.value, other.value))
    return Pairs(tuple(seeds), tuple(values), failed, tuple(waiting))


def _missing(result: Result, outcome: str) -> str:
    """Return why a result has no number of an outcome and will not get one, or ''."""
    if result.status in ("failed", "stopped"):
        return f"{result.status}{': ' if result.reason else ''}{result.reason}"
    if result.status != "succeeded":
        return ""
    measured = result.values.get(outcome)
    if measured is None:
        return f"'{outcome}' was not measured"
    return (
        ""
        if measured.value is not None
        else f"'{outcome}' has no value: {measured.reason or 'no reason given'}"
    )


def mixed(study: Study, results: Sequence[Result]) -> list[str]:
    """Return sentences on what sets results apart: devices, versions, settings of an arm, failures before."""
    found = []
    ended = [result for result in results if result.status == "succeeded"]
    for fact in sorted({name for result in ended for name in result.facts}):
        values = [result.facts.get(fact, "unknown") for result in ended]
        if len(counts := _counted(values)) > 1:
            of_seeds = {(result.seed, value) for result, value in zip(ended, values, strict=True)}
            alike = len(of_seeds) == len({result.seed for result in ended})
            paired = "; arms of a seed have the same" if alike else ""
            found.append(f"{fact} is not the same in all results: {_listed(counts)}{paired}.")
    for arm in study.arms:
        counts = _counted([result.settings for result in ended if result.arm == arm.name])
        if len(counts) > 1:
            found.append(
                f"the seeds of '{arm.name}' did not run with the same settings: {len(counts)} kinds."
            )
        again = [str(result.seed) for result in ended if result.arm == arm.name and result.failed_before]
        if again:
            word = "seed" if len(again) == 1 else "seeds"
            found.append(
                f"{word} {', '.join(again)} of '{arm.name}' failed before and succeeded when tried again."
            )
    return found


def _counted(values: Sequence[str]) -> dict[str, int]:
    return {value: list(values).count(value) for value in dict.fromkeys(values)}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in counts.items())

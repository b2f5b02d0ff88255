"""What the pages of studies show: places in a drawing, and numbers in words. What may be said is the engine's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from acc.studies import Outcome, Verdict, judge, report, settled
from acc.studies import Study as Plan
from acc.studies.plan import Change, plain
from acc.studies.results import Result
from acc.studies.statistics import Interval, mean_interval
from accsite.apps.jobs.models import Job
from accsite.apps.studies.curves import job_of
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import Cost, changes_of, cost_of, in_order, results_of, state_of
from accsite.apps.training.selectors.curves import MOST_CURVES, look_of, most_of

MOST_ROWS = 100
"""Of the table of all seeds; the exports have all."""
MOST_TOLD = 50
"""Of what has no number; the exports have all."""
MOST_WORDS = 30
"""Of more dots than these in a row, none is told by itself: nobody could point at one."""
SHOWN_TICKS = 6
MOST_NAMED = 20
LISTED_CLAIMS = 3
PAD = 0.06
MARKS = {"decided for": "for", "decided against": "against", "cannot be decided": "not"}


@dataclass(frozen=True)
class Dot:
    """A seed. x: percent of the width; y: pixels, so that like values are seen apart."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Line:
    """An arm, or the differences of a claim, on an axis: its dots, its mean and interval; x in percent."""

    name: str
    hue: int
    dots: list[Dot]
    mean: float | None
    low: float | None
    width: float
    figures: str
    words: str


@dataclass(frozen=True)
class Strip:
    """Lines on one axis. ticks: (x, text); marks: x of 0 and of the margin."""

    title: str
    about: str
    lines: list[Line]
    ticks: list[tuple[float, str]]
    marks: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Said:
    """What may be said of a claim; kind: for, against, not or open; facts: what a table of a paper has beside it."""

    verdict: Verdict
    kind: str
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Missing:
    """An arm and a seed without a number, and why; job: whose log tells more."""

    row: StudyResult
    why: str
    job: Job | None


@dataclass(frozen=True)
class ArmRow:
    """An arm: how far it is, what it cost, and what it changes."""

    name: str
    hue: int
    dash: int
    done: int
    failed: int
    waiting: int
    seconds: float | None
    seconds_in_all: float
    images: int | None
    changes: list[str]
    unsaid: list[str]


@dataclass(frozen=True)
class Shown:
    """What the page of a study shows; first_seeds: how many of each arm the curves are of, 0: of all."""

    plan: Plan
    state: str
    claims: list[Said]
    outcomes: list[Strip]
    differences: list[Strip]
    arms: list[ArmRow]
    rows: list[StudyResult]
    left_out: int
    failed: int
    missing: list[Missing]
    missing_more: int
    under_way: int
    has_more: bool
    alpha: str
    seeds: str
    cost: Cost
    warnings: list[str]
    changes: Sequence[Change]
    done: int
    planned: int
    curves: bool
    first_seeds: int


@dataclass(frozen=True)
class InAList:
    """What the list shows of a study."""

    study: Study
    state: str
    arms: list[str]
    arm_count: int
    arms_more: int
    seeds: int
    done: int
    failed: int
    planned: int
    claims: list[Said]
    claims_more: int


def in_a_list(study: Study) -> InAList:
    """Return what the list shows of a study."""
    plan, results = study.planned, results_of(study)
    states = [result.status for result in results]
    verdicts = judge(plan, results)
    return InAList(
        study,
        state_of(study),
        [arm.name for arm in plan.arms[:MOST_NAMED]],
        len(plan.arms),
        max(0, len(plan.arms) - MOST_NAMED),
        len(plan.seeds),
        states.count("succeeded"),
        states.count("failed"),
        len(states),
        [_said(plan, verdict) for verdict in verdicts[:LISTED_CLAIMS]],
        max(0, len(verdicts) - LISTED_CLAIMS),
    )


def shown(study: Study) -> Shown:
    """Return what the page of a study shows."""
    plan = study.planned
    found = study.results.select_related("branch__experiment").defer("branch__experiment__model_spec")
    rows = in_order(plan, found)
    results = [row.result for row in rows]
    verdicts = judge(plan, results)
    states = [row.state for row in rows]
    missing = _missing(plan, rows)
    ended = states.count(StudyResult.State.SUCCEEDED) + states.count(StudyResult.State.FAILED)
    return Shown(
        plan=plan,
        state=state_of(study),
        claims=[_said(plan, verdict) for verdict in verdicts],
        outcomes=[_of_outcome(plan, results, outcome) for outcome in plan.outcomes],
        differences=[_of_claim(plan, verdict) for verdict in verdicts if verdict.differences],
        arms=[_arm(plan, results, place) for place in range(len(plan.arms))],
        rows=rows[:MOST_ROWS],
        left_out=max(0, len(rows) - MOST_ROWS),
        failed=states.count(StudyResult.State.FAILED),
        missing=_with_jobs(missing[:MOST_TOLD]),
        missing_more=max(0, len(missing) - MOST_TOLD),
        under_way=states.count(StudyResult.State.RUNNING) if study.is_at_work else 0,
        has_more=ended < len(rows) and not (plan.stop_when_decided and settled(plan, verdicts)),
        alpha=f"{100 * plan.alpha:g} %",
        seeds=_seeds(plan.seeds),
        cost=cost_of(study, plan, rows),
        warnings=plan.warnings(),
        changes=plan.changes,
        done=states.count(StudyResult.State.SUCCEEDED),
        planned=len(rows),
        curves=any(row.branch_id or row.job_id for row in rows),
        first_seeds=most if (most := most_of(min(len(plan.arms), MOST_CURVES))) < len(plan.seeds) else 0,
    )


def _missing(plan: Plan, rows: Sequence[StudyResult]) -> list[tuple[StudyResult, str]]:
    """Return the arms and seeds that ended without a number of an outcome, with the reason."""
    found = []
    for row in rows:
        if row.state == StudyResult.State.FAILED:
            found.append((row, row.message))
        elif row.state == StudyResult.State.SUCCEEDED:
            for outcome in plan.outcomes:
                measured = row.values.get(outcome.name) or {"reason": "it was not measured"}
                if measured.get("value") is None:
                    found.append((row, f"{outcome.name}: {measured.get('reason') or 'no reason given'}"))
    return found


def _with_jobs(missing: Sequence[tuple[StudyResult, str]]) -> list[Missing]:
    jobs = job_of([row for row, _ in missing])
    return [Missing(row, why, jobs.get(row.pk)) for row, why in missing]


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) <= MOST_NAMED:
        return ", ".join(map(str, seeds))
    return f"{len(seeds)}, from {min(seeds)} to {max(seeds)}"


def _said(plan: Plan, verdict: Verdict) -> Said:
    """Return what may be said of a claim, with the numbers that there are."""
    facts = []
    if verdict.n and verdict.mean is not None:
        facts.append(("Wins", f"{verdict.wins} of {verdict.n}"))
    if verdict.mean is not None:
        unit = plan.outcome(next(each for each in plan.claims if str(each) == verdict.claim).outcome).unit
        facts.append(("Mean difference", f"{verdict.mean:+.3g}{f' {unit}' if unit else ''}"))
    if verdict.d_z is not None and math.isfinite(verdict.d_z):
        facts.append(("Effect size d_z", f"{verdict.d_z:.2f}"))
    if verdict.p_holm is not None:
        facts.append(("p, Holm", f"{verdict.p_holm:.3g}"))
    return Said(verdict, MARKS.get(verdict.decision, "open"), facts)


def _arm(plan: Plan, results: Sequence[Result], place: int) -> ArmRow:
    arm = plan.arms[place]
    mine = [result for result in results if result.arm == arm.name]
    done = [result for result in mine if result.status == "succeeded"]
    seconds = [result.seconds for result in done if result.seconds is not None]
    images = [result.images for result in done if result.images is not None]
    failed = sum(result.status == "failed" for result in mine)
    return ArmRow(
        arm.name,
        *look_of(place),
        len(done),
        failed,
        len(mine) - len(done) - failed,
        sum(seconds) / len(seconds) if seconds else None,
        sum(seconds),
        round(sum(images) / len(images)) if images else None,
        changes_of(plan, arm) if place else [],
        arm.unsaid(),
    )


def _of_outcome(plan: Plan, results: Sequence[Result], outcome: Outcome) -> Strip:
    """Return a line for each arm: a dot a seed, the mean, and its t interval."""
    unit = f" {outcome.unit}" if outcome.unit else ""
    found = []
    for place, arm in enumerate(plan.arms):
        values = _values(plan, results, arm.name, outcome)
        interval = mean_interval(list(values.values()), plan.alpha) if values else None
        found.append((arm.name, look_of(place)[0], values, interval, unit))
    level = f"{100 * (1 - plan.alpha):g} % t interval"
    images = report.noise(results, outcome.name)
    about = f"a dot a seed, mean and {level} over seeds"
    apart = f"; images alone spread a seed by {images:.2g}{unit}" if images is not None else ""
    return _strip(outcome.name, f"{about}{apart}", found)


def _of_claim(plan: Plan, verdict: Verdict) -> Strip:
    """Return the differences of a claim, with 0 and the margin."""
    claim = next(claim for claim in plan.claims if str(claim) == verdict.claim)
    place = [arm.name for arm in plan.arms].index(claim.first)
    low = -math.inf if verdict.low is None else verdict.low
    high = math.inf if verdict.high is None else verdict.high
    interval = None if verdict.mean is None else Interval(verdict.mean, low, high, math.nan, verdict.n)
    values = dict(zip(verdict.seeds, verdict.differences, strict=True))
    margin = [claim.by if claim.sign == ">" else -claim.by] if claim.by else []
    unit = plan.outcome(claim.outcome).unit
    line = (claim.outcome, look_of(place)[0], values, interval, f" {unit}" if unit else "")
    about = f"{claim.first} less {claim.second}; {verdict.wins} of {verdict.n} beyond the claim"
    return _strip(verdict.claim, about, [line], marks=(0.0, *margin))


def _strip(
    title: str,
    about: str,
    lines: Sequence[tuple[str, int, Mapping[int, float], Interval | None, str]],
    marks: Sequence[float] = (),
) -> Strip:
    seen = [value for _, _, values, interval, _ in lines for value in (*values.values(), *_ends(interval))]
    low, high = min([*seen, *marks], default=0.0), max([*seen, *marks], default=1.0)
    pad = (high - low or abs(high) or 1.0) * PAD
    low, high = low - pad, high + pad

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low)

    drawn = []
    for name, hue, values, interval, unit in lines:
        ends = _ends(interval)
        dots = [
            Dot(at(value), 17 + (place % 5 - 2) * 2.5, f"seed {seed}: {value:.6g}{unit}")
            for place, (seed, value) in enumerate(values.items())
        ]
        told = ", ".join(dot.words for dot in dots[:MOST_WORDS]) or "nothing is measured yet"
        if len(dots) > MOST_WORDS:
            dots = [replace(dot, words="") for dot in dots]
            told = _figures(interval, unit, "")
        drawn.append(
            Line(
                name,
                hue,
                dots,
                at(interval.mean) if interval else None,
                at(ends[0]) if ends else None,
                at(ends[1]) - at(ends[0]) if ends else 0.0,
                _figures(interval, unit, "+" if marks else ""),
                f"{name}: {told}",
            )
        )
    return Strip(title, about, drawn, ticks(low, high) if seen else [], [at(mark) for mark in marks])


def _figures(interval: Interval | None, unit: str, sign: str) -> str:
    if interval is None:
        return "nothing yet"
    ends = _ends(interval)
    span = f" ({ends[0]:{sign}.3g} to {ends[1]:{sign}.3g})" if ends else ""
    return f"{interval.mean:{sign}.3g}{unit}{span}, {interval.n} seed{'' if interval.n == 1 else 's'}"


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers between two with their places, about five of them."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= SHOWN_TICKS)
    numbers = [
        float(f"{number * step:.10g}") for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]
    return [(100 * (number - low) / (high - low), plain(number)) for number in numbers]


def _ends(interval: Interval | None) -> tuple[float, ...]:
    if interval is None or not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return ()
    return interval.low, interval.high


def _values(plan: Plan, results: Sequence[Result], arm: str, outcome: Outcome) -> dict[int, float]:
    found = {}
    for result in results:
        measured = result.values.get(outcome.name)
        if result.arm == arm and result.seed in plan.seeds and measured and measured.value is not None:
            found[result.seed] = measured.value
    return found

"""What may be said of the claims of a study: a decision, and one sentence that a paper could print. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from acc.specs import Spec
from acc.studies.plan import Claim, Study, cannot_reach, plain
from acc.studies.results import Result, mixed, pairs
from acc.studies.statistics import (
    LOPSIDED,
    Betting,
    Interval,
    Sequential,
    Spending,
    effect,
    fewest_seeds,
    holm,
    lopsided,
    mean_interval,
    more_seeds,
    sign_flip,
)

Decision = Literal["decided for", "decided against", "not decided yet", "cannot be decided"]
FIXED, SIGNS, BOUNDS = "exact sign-flip test", "sequential sign-flip test", "betting on bounded differences"


class Verdict(Spec):
    """What may be said of one claim.

    sentence: all of it, in words. why: of a claim that is not decided, or cannot be. test: what it rests on. n: pairs
    of seeds; failed, waiting: pairs that have no difference, and that have none yet. differences: of each of ``seeds``,
    the claim's first arm less its second, in the unit of the outcome; mean, low, high: theirs, with the interval of the
    test (None: endless, or not known), twice as wide where one arm spreads more than 3 times as much as the other. p:
    two-sided, against what the claim says or its opposite, whichever was seen, None before the test may decide; p_holm:
    as it counts among the claims. d_z: mean beyond the margin over spread; wins: pairs beyond the margin. more: how
    many more seeds decide in 4 of 5 studies like this one, None: more than 200, or unknown. notes: what the reader has
    to know besides.
    """

    claim: str
    decision: Decision
    sentence: str
    why: str = ""
    test: str = FIXED
    n: int = 0
    failed: int = 0
    waiting: int = 0
    seeds: tuple[int, ...] = ()
    differences: tuple[float, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    d_z: float | None = None
    wins: int = 0
    more: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        return self.decision in ("decided for", "decided against")


class _Tested:
    """The differences of one claim and what its test says of them, before the other claims count.

    used: seed -> the difference in the direction of the claim, of the seeds that the test may take. While seeds are
    missing that is, where it is looked at, those before the first missing one in the order of the plan, so that what
    arrives early cannot choose itself.
    """

    def __init__(self, study: Study, claim: Claim, results: Sequence[Result]) -> None:
        self.study, self.claim = study, claim
        self.pairs = pairs(study, claim, results)
        self.sequential = study.sequential(claim) if study.may_be_looked_at else None
        self.sign = 1 if claim.sign == ">" else -1
        self.used = {
            seed: self.sign * d for seed, d in zip(self.pairs.seeds, self.pairs.differences, strict=True)
        }
        if self.sequential is not None and self.pairs.waiting:
            first = study.seeds.index(self.pairs.waiting[0])
            self.used = {seed: d for seed, d in self.used.items() if study.seeds.index(seed) < first}
        self.refused = self.pairs.refused or self._outside()
        self.silent = bool(self.refused) or len(self.used) < 2
        self.p, self.beyond = self._p(list(self.used.values())) if self.judged else (1.0, True)

    @property
    def test(self) -> str:
        if self.sequential is None:
            return FIXED
        return BOUNDS if isinstance(self.sequential, Betting) else SIGNS

    @property
    def judged(self) -> bool:
        """Whether its test may decide: at any time, or once the seeds of the plan are there."""
        return not self.silent and (self.sequential is not None or not self.pairs.waiting)

    @property
    def later(self) -> Sequential:
        """The test of seeds that are added now, after looking; of signs where what is seen refuses the bounds."""
        if self.sequential is not None:
            return self.sequential
        test = self.study.sequential(self.claim)
        outside = isinstance(test, Betting) and any(abs(d) > test.bound for d in self.used.values())
        return Spending() if outside else test

    @property
    def _bound(self) -> float | None:
        return self.sequential.bound if isinstance(self.sequential, Betting) else None

    def stands(self, level: float) -> bool:
        """Return whether the decision stands if each failed pair, at its place, is a loss of the largest size seen.

        Of a claim that rests on bounds, of the largest size there can be.
        """
        by, sign = self.claim.by, 1 if self.beyond else -1
        bound = self._bound
        loss = by - sign * max(abs(d - by) for d in self.used.values()) if bound is None else -sign * bound
        last = max(self.study.seeds.index(seed) for seed in self.used)
        there = [
            self.used.get(seed, loss)
            for place, seed in enumerate(self.study.seeds)
            if seed in self.used or (seed in self.pairs.failed and (place < last or self.sequential is None))
        ]
        p, beyond = self._p(there)
        return p <= level and beyond == self.beyond

    def interval(self) -> Interval | None:
        if not self.used or self.refused:
            return None
        d = [self.sign * each for each in self.used.values()]
        alpha = self.study.alpha
        found = mean_interval(d, alpha) if self.sequential is None else self.sequential.interval(d, alpha)
        return found.widened() if self.lopsided else found

    @property
    def lopsided(self) -> str:
        """Return how one arm spreads more than the other, so that their difference may be skewed, or ''."""
        if len(self.used) < 2:
            return ""
        values = [
            each for seed, each in zip(self.pairs.seeds, self.pairs.values, strict=True) if seed in self.used
        ]
        times = lopsided(*zip(*values, strict=True))
        more, less = self.claim.second, self.claim.first
        if times < 1:
            more, less, times = less, more, 1 / times if times else math.inf
        if times <= LOPSIDED:
            return ""
        if math.isinf(times):
            return f"'{more}' spreads over seeds and '{less}' does not"
        return f"'{more}' spreads {times:.2g} times as much over seeds as '{less}'"

    def _p(self, differences: Sequence[float]) -> tuple[float, bool]:
        """Return the two-sided p, and whether what was seen is beyond the margin."""
        by = self.claim.by
        if self.sequential is None:
            return sign_flip(differences, by).p, sum(differences) >= by * len(differences)
        above, below = (float(p[-1]) for p in self.sequential.p(differences, by))
        return min(above, below), above <= below

    def _outside(self) -> str:
        """Return why bounds cannot be rested on, or ''."""
        bound = self._bound
        if bound is None or all(abs(d) <= bound for d in self.used.values()):
            return ""
        outcome = self.study.outcome(self.claim.outcome)
        low, high = outcome.bounds or (0.0, 0.0)
        return f"'{outcome.name}' lies outside its bounds {plain(low)} to {plain(high)}, on which the claim rests"


def judge(study: Study, results: Sequence[Result]) -> list[Verdict]:
    """Return a verdict for each claim of a study, in their order, from what is there of its results.

    A failed seed is counted and told: a decision stands only if it would with each of them as a loss.
    """
    tested = [_Tested(study, claim, results) for claim in study.claims]
    adjusted = holm([each.p for each in tested])
    level = study.alpha / max(1, sum(p > study.alpha for p in adjusted))
    notes = mixed(study, results)
    return [_verdict(each, p, level, notes) for each, p in zip(tested, adjusted, strict=True)]


def settled(study: Study, verdicts: Sequence[Verdict]) -> bool:
    """Return whether a study that stops when it is decided has no open claim left; False for any other study."""
    return (
        study.stop_when_decided
        and bool(verdicts)
        and all(verdict.decision != "not decided yet" for verdict in verdicts)
    )


def _verdict(tested: _Tested, p_holm: float, level: float, everywhere: Sequence[str]) -> Verdict:
    claim, found, used = tested.claim, tested.pairs, tested.used
    decision, why = _decision(tested, p_holm)
    interval = tested.interval()
    size = None if tested.silent else effect([d - claim.by for d in used.values()])
    more, seen = None, ""
    if tested.judged and size is not None and interval is not None:
        seen = f"{_seen(tested, interval, p_holm, size.wins)}."
        if p_holm > tested.study.alpha:
            more = more_seeds(list(used.values()), claim.by, level, tested.later)
            seen = f"{seen} {_needed(more, size.d_z)}"
    notes = [*_notes(tested), *everywhere]
    return Verdict(
        claim=str(claim),
        decision=decision,
        sentence=" ".join([_sentence(tested, decision, why, seen), *notes]),
        why=why,
        test=tested.test,
        n=len(used),
        failed=len(found.failed),
        waiting=len(found.waiting),
        seeds=tuple(used),
        differences=tuple(tested.sign * d for d in used.values()),
        mean=interval.mean if interval else None,
        low=_finite(interval.low) if interval else None,
        high=_finite(interval.high) if interval else None,
        p=tested.p if tested.judged else None,
        p_holm=p_holm if tested.judged else None,
        d_z=_finite(size.d_z) if size else None,
        wins=sum(d > claim.by for d in used.values()),
        more=more,
        notes=tuple(notes),
    )


def _decision(tested: _Tested, p_holm: float) -> tuple[Decision, str]:
    """Return the decision, and why there is none."""
    study, found, n = tested.study, tested.pairs, len(tested.used)
    planned, failed = len(study.seeds), len(found.failed)
    if why := tested.refused or ("" if n > 1 or found.waiting else _too_few(failed, planned)):
        return "cannot be decided", why
    if not tested.judged:
        once = "" if tested.sequential else ", and this plan is judged once all of them are"
        in_order = " in the order of the plan" if tested.sequential else ""
        return "not decided yet", f"{n} of {planned} pairs of seeds are there{in_order}{once}"
    if p_holm > study.alpha:
        least = fewest_seeds(study.alpha / len(study.claims), sequential=tested.sequential)
        short = cannot_reach(n, study.alpha, len(study.claims), least).rstrip(".") if n < least else ""
        return "not decided yet", "" if tested.sequential and found.waiting else short
    if failed and not tested.stands(study.alpha * tested.p / p_holm):
        as_loss = "it counted as a loss" if failed == 1 else "them counted as losses"
        return ("not decided yet" if tested.sequential and found.waiting else "cannot be decided"), (
            f"{failed} of {planned} pairs of seeds failed, and with {as_loss} there would be no decision"
        )
    return ("decided for" if tested.beyond else "decided against"), ""


def _too_few(failed: int, planned: int) -> str:
    if failed:
        return f"{failed} of {planned} pairs of seeds failed"
    return "one checkpoint of each arm says nothing about a method; give it more seeds"


def _sentence(tested: _Tested, decision: Decision, why: str, seen: str) -> str:
    claim, above = tested.claim, "above" if tested.claim.sign == ">" else "below"
    below = "below" if above == "above" else "above"
    unit = f" {unit}" if (unit := tested.study.outcome(claim.outcome).unit) else ""
    first, second = f"'{claim.first}' is", f"'{claim.second}'"
    if claim.by < 0:
        said = f"{first} at most {plain(-claim.by)}{unit} {below} {second}"
    else:
        said = f"{first} {above} {second}" + (f" by at least {plain(claim.by)}{unit}" if claim.by else "")
    if decision == "cannot be decided":
        return f"On {claim.outcome}, whether {said} cannot be decided: {why}."
    if decision == "not decided yet":
        told = f"On {claim.outcome}, whether {said} is not decided yet{f': {why}' if why else ''}."
        return f"{told} So far: {seen}" if seen else told
    if decision == "decided against":
        said = f"{first} not {said.removeprefix(first).strip()}" if claim.by else f"{first} {below} {second}"
        return f"Against the claim, on {claim.outcome} {said}: {seen}"
    return f"On {claim.outcome}, {said}: {seen}"


def _seen(tested: _Tested, interval: Interval, p_holm: float, wins: int) -> str:
    """Return the figures of a verdict in words."""
    claim, study, n = tested.claim, tested.study, interval.n
    unit = f" {unit}" if (unit := study.outcome(claim.outcome).unit) else ""
    level = f"{100 * (1 - study.alpha):g} %"
    kind = f"{level} t interval" if tested.sequential is None else f"{level} interval at any time of looking"
    kind = f"{kind}, doubled," if tested.lopsided else kind
    ends = f"{kind} {signed(interval.low)} to {signed(interval.high)}"
    if math.isinf(interval.low) or math.isinf(interval.high):
        ends = f"no {kind.removesuffix(', doubled,')} from so few seeds"
    above = "above" if claim.sign == ">" else "below"
    beyond = f"{above} {plain(tested.sign * claim.by)}" if claim.by else above
    among = f", {p_in_words(p_holm)} among {len(study.claims)} claims (Holm)" if len(study.claims) > 1 else ""
    return (
        f"mean paired difference {signed(interval.mean)}{unit} ({ends}; n = {n} seeds, {beyond} in {wins} of {n}; "
        f"{tested.test}, two-sided {p_in_words(tested.p)}{among})"
    )


def _needed(more: int | None, d_z: float) -> str:
    if math.isnan(d_z):
        return "Every pair differs by just the margin, so more such seeds decide nothing."
    if more is None:
        return "With the spread seen, more than 200 further seeds would be needed."
    seeds = "1 more seed decides" if more == 1 else f"{more} more seeds decide"
    return f"With the effect and the spread seen, {seeds} in 4 of 5 such studies."


def _notes(tested: _Tested) -> list[str]:
    """Return what a reader of the sentence has to know besides."""
    study, claim, found = tested.study, tested.claim, tested.pairs
    notes = []
    if found.failed:
        seed, reason = next(iter(found.failed.items()))
        some = "for example " if len(found.failed) > 1 else ""
        notes.append(
            f"{len(found.failed)} of {len(study.seeds)} pairs of seeds failed ({some}seed {seed}, {reason})."
        )
    if tested.judged and (uneven := tested.lopsided):
        notes.append(
            f"{uneven}: their difference may be skewed, so its interval is twice as wide, and p is not exact."
        )
    for name in (claim.first, claim.second):
        if unsaid := study.arm(name).unsaid():
            notes.append(f"'{name}' differs from '{study.arms[0].name}' also in {', '.join(unsaid)}.")
    if study.changed_after_looking:
        what = [
            each
            for change in study.changes
            if change.after_looking and not change.harmless
            for each in change.what
        ]
        notes.append(f"The plan was changed after looking: {'; '.join(what)}.")
    return notes


def signed(value: float) -> str:
    """Return a difference in three digits with its sign."""
    return f"{value:+.3g}"


def p_in_words(p: float) -> str:
    """Return a p as papers print it."""
    return "p < .0001" if p < 0.0001 else f"p = {plain(float(f'{p:.2g}'))}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

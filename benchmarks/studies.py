"""What the verdicts of studies are worth, by simulation: false claims, coverage, and seeds used.

python -m benchmarks.studies                   2,000 studies of each kind: a minute on one thread
python -m benchmarks.studies --studies 20000   the same to the third digit

Each row is of simulated studies of two arms, whose outcomes are drawn anew for each seed and judged by the functions
that judge a study. After the rows stands the table that docs/studies.md shows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acc.studies.statistics import (
    ALPHA,
    LOPSIDED,
    Betting,
    Sequential,
    Spending,
    lopsided,
    mean_interval,
    sign_flip,
)
from benchmarks.rows import Row, report

STUDIES = 2_000
FEWEST, MOST = 5, 20
CAP = 120
POWERS = (0.8, 0.9, 0.95, 0.99)
MOST_FALSE, LEAST_COVERED, WIDE, MOST_USED = 0.05, 0.93, 0.97, 0.6
ONE_ARM = "skewed in one arm alone"
SIGNS, ONCE, BOUNDS = (
    "sequential sign-flip test",
    "sign-flip test, looked at once",
    "betting on bounded differences",
)
AT_ALPHA = Spending(levels=(ALPHA,))
ADDED = (10, 30)
"""Seeds of a fixed plan, and how many there are at most once some were added after looking."""
Array = NDArray[np.float64]
Drawn = Callable[[np.random.Generator, tuple[int, ...]], Array]

OUTCOMES: Mapping[str, Drawn] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.lognormal(0, 1, shape),
    "heavy-tailed": lambda rng, shape: rng.standard_t(2.5, shape),
}
"""Outcomes of one arm. Skewed: log-normal, skewness 6; heavy-tailed: Student's t of 2.5 degrees of freedom."""
IN_BOUNDS: Mapping[str, Drawn] = {
    "uniform": lambda rng, shape: rng.uniform(0, 1, shape),
    "skewed": lambda rng, shape: rng.beta(0.5, 4, shape),
    "0 or 1": lambda rng, shape: rng.integers(0, 2, shape).astype(float),
}


@dataclass(frozen=True)
class Share:
    """How many of some studies, with the exact 95 % binomial interval (Clopper and Pearson 1934)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of

    def __str__(self) -> str:
        from scipy.stats import binomtest

        ends = binomtest(self.count, self.of).proportion_ci(method="exact")
        return f"{self.value:.3f} ({ends.low:.3f} to {ends.high:.3f})"


def differences(drawn: Drawn, rng: np.random.Generator, studies: int, seeds: int) -> Array:
    """Return paired differences (studies, seeds) of two arms that are equal."""
    return drawn(rng, (studies, seeds)) - drawn(rng, (studies, seeds))


def false_claims(drawn: Drawn, test: Sequential, studies: int) -> Share:
    """Return in how many studies of equal arms a claim was ever decided, looked at after each of 5 to 20 seeds."""
    rng = np.random.default_rng(1)
    d = differences(drawn, rng, studies, MOST)
    last = rng.integers(FEWEST, MOST + 1, studies)
    decided = np.minimum(*test.p(d)) <= ALPHA
    return Share(
        int(decided[np.arange(studies), last - 1].sum()), studies
    )  # p never rises: the last look has them all


def false_claims_of_a_fixed_plan(drawn: Drawn, studies: int) -> Share:
    """Return in how many studies of equal arms the sign-flip test, looked at once, decided."""
    rng = np.random.default_rng(2)
    d = differences(drawn, rng, studies, MOST)
    last = rng.integers(FEWEST, MOST + 1, studies)
    return Share(sum(sign_flip(row[:n]).p <= ALPHA for row, n in zip(d, last, strict=True)), studies)


def false_claims_after_adding(drawn: Drawn, studies: int) -> Share:
    """Return in how many studies of equal arms a fixed plan decided, or, seeds being added until then, the sequential
    test.
    """
    n, most = ADDED
    d = differences(drawn, np.random.default_rng(6), studies, most)
    once = np.array([sign_flip(row[:n]).p <= ALPHA for row in d])
    return Share(int((once | (np.minimum(*AT_ALPHA.p(d))[:, -1] <= ALPHA)).sum()), studies)


def false_claims_of_an_impatient(drawn: Drawn, studies: int) -> Share:
    """Return in how many studies of equal arms a t test, looked at after each seed from the second, was below .05."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(1)
    d = differences(drawn, rng, studies, MOST)
    last = rng.integers(FEWEST, MOST + 1, studies)
    below = np.stack([ttest_1samp(d[:, :n], 0, axis=1).pvalue <= ALPHA for n in range(2, MOST + 1)], axis=1)
    looked = np.arange(2, MOST + 1) <= last[:, None]
    return Share(int((below & looked).any(axis=1).sum()), studies)


@dataclass(frozen=True)
class Covered:
    """How often intervals hold the truth, and how many of them are doubled."""

    share: Share
    doubled: float

    def __str__(self) -> str:
        return f"{self.share}{f'; {100 * self.doubled:.3g} % doubled' if self.doubled else ''}"


def coverage(drawn: Drawn, n: int, studies: int, *, one_arm: bool = False) -> Covered:
    """Return how often the interval of a paired difference of n seeds holds the true one, as a verdict states it.

    one_arm: the second arm is a constant, so that the difference is as skewed as the outcome.
    """
    rng = np.random.default_rng([3, n])
    first, truth = drawn(rng, (studies, n)), 0.0
    second = np.zeros((studies, n)) if one_arm else drawn(rng, (studies, n))
    if one_arm:
        truth = float(np.exp(0.5))
    held = doubled = 0
    for one, other in zip(first, second, strict=True):
        interval = mean_interval(one - other)
        if uneven := not 1 / LOPSIDED <= lopsided(one, other) <= LOPSIDED:
            interval = interval.widened()
        held += interval.low <= truth <= interval.high
        doubled += uneven
    return Covered(Share(held, studies), doubled / studies)


@dataclass(frozen=True)
class Used:
    """Seeds of a study that stops when it is decided, on average, beside those of a fixed plan of the same power."""

    power: float
    most: int
    stopped: float
    fixed: int

    @property
    def ratio(self) -> float:
        return self.stopped / self.fixed


def powers_of_a_fixed_plan(studies: int) -> dict[int, float]:
    """Return seeds -> in what part of studies of an effect of one spread the sign-flip test decides."""
    d = np.random.default_rng(4).normal(1, 1, (studies, CAP))
    found: dict[int, float] = {}
    for n in range(6, CAP):
        found[n] = float(np.mean([sign_flip(row[:n]).p <= ALPHA for row in d]))
        if found[n] >= POWERS[-1]:
            break
    return found


def fewest_there_can_be(power: float) -> float:
    """Return below how many seeds on average no test can be that decides an effect of one spread with this power, and
    is right in 95 % of all studies whose differences lie symmetrically about 0.

    Whenever it stops: its seeds tell the effect, N(1, 1), from the same sizes under fair signs, which are symmetric;
    each tells E[log 2 / (1 + exp(-2 d))], and .05 / 2 against the power must be told. Source: Wald 1945, "Sequential
    tests of statistical hypotheses", section 4.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    each = float(weights @ (np.log(2) - np.logaddexp(0, -2 * (nodes + 1))) / weights.sum())
    false = ALPHA / 2
    told = power * np.log(power / false) + (1 - power) * np.log((1 - power) / (1 - false))
    return float(told / each)


def seeds_used(test: Sequential, spread: float, fixed: Mapping[int, float], studies: int) -> list[Used]:
    """Return what was used for each power, by an effect of one spread of the paired difference, normal.

    The study that stops may have as many seeds as reach the power; one that is not decided by then has used them all.
    The fixed plan has the fewest seeds with which the sign-flip test reaches it.
    """
    d = np.random.default_rng(5).normal(spread, spread, (studies, CAP))
    decided = test.p(d.clip(-test.bound, test.bound) if isinstance(test, Betting) else d)[0] <= ALPHA
    first = np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, CAP + 1)
    found = []
    for power in POWERS:
        most = next(n for n in range(1, CAP + 1) if (first <= n).mean() >= power)
        needed = next(n for n, reached in fixed.items() if reached >= power)
        found.append(Used(power, most, float(np.minimum(first, most).mean()), needed))
    return found


class Table:
    """Rows of a Markdown table under heads; each is told when it is there."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def head(self, *cells: str) -> None:
        self.lines += [*([""] if self.lines else []), f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]

    def row(self, *cells: object) -> None:
        self.lines.append(f"| {' | '.join(map(str, cells))} |")
        print(cells[0], file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=STUDIES, help=f"of each kind; default {STUDIES}")
    studies = parser.parse_args().studies
    table = Table()
    false(table, studies)
    covered(table, studies)
    used(table, studies)
    print("\n".join(table.lines))


def false(table: Table, studies: int) -> None:
    """Report how often equal arms were told apart."""
    hasty = {name: false_claims_of_an_impatient(drawn, studies) for name, drawn in OUTCOMES.items()}
    found = {
        SIGNS: {name: false_claims(drawn, AT_ALPHA, studies) for name, drawn in OUTCOMES.items()},
        ONCE: {name: false_claims_of_a_fixed_plan(drawn, studies) for name, drawn in OUTCOMES.items()},
        BOUNDS: {name: false_claims(drawn, Betting(1.0), studies) for name, drawn in IN_BOUNDS.items()},
    }
    table.head("false claims", *OUTCOMES)
    for words in (SIGNS, ONCE):
        table.row(words, *found[words].values())
    added = {name: false_claims_after_adding(drawn, studies) for name, drawn in OUTCOMES.items()}
    table.row(
        f"*{ADDED[0]} seeds looked at once, then up to {ADDED[1]} by the sequential test*", *added.values()
    )
    table.row("*a t test looked at after each seed*", *hasty.values())
    table.head("false claims, outcomes from 0 to 1", *IN_BOUNDS)
    table.row(BOUNDS, *found[BOUNDS].values())
    impatient = max(share.value for share in hasty.values())
    for words, shares in found.items():
        report(
            Row(
                f"studies: false claims, {words}",
                max(share.value for share in shares.values()),
                "",
                MOST_FALSE,
                "lower",
                f"{studies:,} studies of each; "
                + "; ".join(f"{name} {share}" for name, share in shares.items()),
                f"a t test looked at after each seed {impatient:.3f}",
            )
        )


def covered(table: Table, studies: int) -> None:
    """Report how often the intervals of verdicts hold the truth."""
    table.head("coverage of 95 % intervals", *OUTCOMES, ONE_ARM)
    for n in (5, 10):
        found = {name: coverage(drawn, n, studies) for name, drawn in OUTCOMES.items()}
        found[ONE_ARM] = coverage(OUTCOMES["skewed"], n, studies, one_arm=True)
        table.row(f"{n} seeds", *found.values())
        for name, each in found.items():
            words = f"{each}; wider than it need be" if each.share.value > WIDE else str(each)
            report(
                Row(
                    f"studies: coverage, {n} seeds, {name}",
                    each.share.value,
                    "",
                    LEAST_COVERED,
                    "higher",
                    words,
                )
            )


def used(table: Table, studies: int) -> None:
    """Report what stopping when it is decided saves."""
    fixed = powers_of_a_fixed_plan(studies)
    table.head("seeds by an effect of one spread", *(f"power {power:g}" for power in POWERS))
    table.row(
        "fixed plan", *(next(n for n, reached in fixed.items() if reached >= power) for power in POWERS)
    )
    least = {power: fewest_there_can_be(power) for power in POWERS}
    table.row(
        "no symmetric test can use fewer",
        *(
            f"{least[power]:.1f}: {least[power] / next(n for n, reached in fixed.items() if reached >= power):.2f}"
            for power in POWERS
        ),
    )
    for words, test, spread in (
        (SIGNS, AT_ALPHA, 1.0),
        ("bounded, spread 1/3 of the bound", Betting(1.0), 1 / 3),
        ("bounded, spread 1/10 of the bound", Betting(1.0), 0.1),
    ):
        found = seeds_used(test, spread, fixed, studies)
        table.row(words, *(f"{each.stopped:.1f} of at most {each.most}: {each.ratio:.2f}" for each in found))
        for each in found if test is AT_ALPHA else []:
            report(
                Row(
                    f"studies: seeds used when it stops, power {each.power:g}",
                    each.ratio,
                    "x",
                    MOST_USED,
                    "lower",
                    f"{each.stopped:.1f} seeds on average, at most {each.most}",
                    f"a fixed plan {each.fixed}; no symmetric test fewer than {least[each.power]:.1f}",
                )
            )


if __name__ == "__main__":
    main()

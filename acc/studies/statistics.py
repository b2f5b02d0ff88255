"""What few paired seeds can say: intervals, the exact sign-flip test, tests that may be looked at early, seeds needed.

The unit is the seed. ``differences`` are one number a seed, (n,): what one arm has more than another with that seed, in
the unit of the outcome. A function that also takes (..., n) says so; seeds stand along the last axis, in the order in
which they were looked at. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acc.errors import InvalidInput

Array = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]

ALPHA = 0.05
POWER = 0.8
MOST_EXACT = 40
DRAWS = 99_999
MOST_SEEDS = 200
"""Further than this nobody is told how many seeds are needed."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds with its interval, and the spread (standard deviation) of the seeds.

    low, high: infinite where n seeds bound nothing; spread: NaN of one seed.
    """

    mean: float
    low: float
    high: float
    spread: float
    n: int


@dataclass(frozen=True)
class SignFlip:
    """The p of a sign-flip test of n differences, and the smallest that n of them can reach.

    exact: all 2^n signs were counted, rather than a draw of them.
    """

    p: float
    smallest: float
    n: int
    exact: bool = True


@dataclass(frozen=True)
class Effect:
    """How large a paired difference is. d_z: mean over spread; wins and ties of n seeds."""

    d_z: float
    wins: int
    ties: int
    n: int


def checked(differences: ArrayLike, name: str = "differences") -> Array:
    """Return finite numbers as float64 (..., n), n of 1 or more; raises InvalidInput naming what is not."""
    values = np.asarray(differences, dtype=np.float64)
    if not values.ndim or not values.shape[-1]:
        raise InvalidInput({name: "there is no number; at least one seed is needed"})
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise InvalidInput({name: f"{bad} is no finite number; leave the seed out, and count it as failed"})
    return values


def mean_interval(values: ArrayLike, alpha: float = ALPHA) -> Interval:
    """Return the mean of values (n,) and its t interval of level 1 - alpha.

    Of one seed the interval is endless. Raises InvalidInput for no value, or one that is not finite. Source: Student
    1908, "The probable error of a mean".
    """
    from scipy.special import stdtrit

    numbers = checked(values, "values")
    n, mean = len(numbers), float(numbers.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, math.nan, 1)
    spread = float(numbers.std(ddof=1))
    half = float(stdtrit(n - 1, 1 - alpha / 2)) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, spread, n)


def paired_difference(first: ArrayLike, second: ArrayLike, alpha: float = ALPHA) -> Interval:
    """Return by how much ``first`` (n,) exceeds ``second`` (n,), seed by seed, with the t interval of that.

    Raises InvalidInput where they are not as many.
    """
    one, other = checked(first, "first"), checked(second, "second")
    if one.shape != other.shape:
        raise InvalidInput({"second": f"it has {len(other)} seeds, first {len(one)}; pairs need as many"})
    return mean_interval(one - other, alpha)


def effect(differences: ArrayLike) -> Effect:
    """Return how large differences (n,) are in units of their spread, and how many are above 0.

    d_z is NaN of one seed, and infinite where all are the same and not 0. Source: Cohen 1988, "Statistical power
    analysis", section 2.3.5.
    """
    d = checked(differences)
    interval = mean_interval(d)
    if interval.spread > _ROUNDING * float(np.abs(d).max()):
        size = interval.mean / interval.spread
    else:
        size = math.copysign(math.inf, interval.mean) if interval.mean and len(d) > 1 else math.nan
    return Effect(size, int((d > 0).sum()), int((d == 0).sum()), len(d))


def sign_flip(
    differences: ArrayLike, margin: float = 0.0, alternative: Alternative = "two-sided"
) -> SignFlip:
    """Return the p of the hypothesis that differences (n,) lie symmetrically about ``margin``, by flipping signs.

    The statistic is the sum. Up to 40 seeds all 2^n signs count; of more, 99,999 draws of a fixed seed and what was
    seen. ``greater``: against a centre above the margin. Source: Fisher 1935, "The design of experiments", section 21.
    """
    d = checked(differences) - margin
    n, total = len(d), float(d.sum())
    slack = 1e-9 * float(np.abs(d).sum())  # sums of the same size that differ by rounding are the same
    # Below is counted as above: of all signs, each sum comes with its opposite.
    reached = {"greater": total, "less": -total, "two-sided": abs(total)}[alternative] - slack
    if exact := n <= MOST_EXACT:
        few, many = (np.sort(_sums(half)) for half in (d[: n // 2], d[n // 2 :]))
        count, hits = 2**n, int((len(many) - np.searchsorted(many, reached - few, side="left")).sum())
    else:
        rng, sums = np.random.default_rng(0), np.empty(DRAWS)
        for part in np.array_split(sums, 100):  # of 1,000 seeds all signs at once would take a gigabyte
            part[:] = (rng.integers(0, 2, (len(part), n), dtype=np.int8) * 2.0 - 1) @ d
        count, hits = DRAWS + 1, 1 + int((sums >= reached).sum())
    sides = 2 if alternative == "two-sided" else 1
    smallest = smallest_p(n, alternative) if exact else sides / count
    return SignFlip(min(1.0, sides * hits / count), smallest, n, exact)


def _sums(d: Array) -> Array:
    """Return the sums of numbers (k,) under all signs, (2^k,)."""
    sums = np.zeros(1)
    for each in d:
        sums = np.concatenate([sums + each, sums - each])
    return sums


def smallest_p(n: int, alternative: Alternative = "two-sided") -> float:
    """Return the smallest p that a sign-flip test of n differences can reach."""
    return 2.0 ** ((1 if alternative == "two-sided" else 0) - n)


def fewest_seeds(
    alpha: float = ALPHA, alternative: Alternative = "two-sided", betting: Betting | None = None
) -> int:
    """Return the fewest seeds with which a test can decide at ``alpha``: 6 at .05, two-sided.

    betting: the test that is looked at after each seed, which is two-sided; None: the sign-flip test.
    """
    if betting is not None:
        best = np.full(1_100, betting.bound or 1.0)
        return int((betting.p(best)[0] <= alpha).argmax()) + 1
    return next(n for n in range(1, 1_100) if smallest_p(n, alternative) <= alpha)


def holm(p: Sequence[float]) -> list[float]:
    """Return each p as it counts among all of them, so that any false claim at all has the level of one.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    found, before = [1.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        before = found[place] = max(before, min(1.0, (len(p) - rank) * p[place]))
    return found


BETS = (0.7, 1.5, 3.0)
"""How fast a sign is trusted more for a larger difference: the strategies among which the capital is divided."""


def signs_wealth(differences: ArrayLike, margin: float | Array = 0.0) -> Array:
    """Return the log of the capital of who bets, seed by seed, that differences (..., n) lie above ``margin``.

    Under the hypothesis that they lie symmetrically about the margin, or below it, the sign of each is a fair coin, or
    worse, whatever its size and the seeds before it. A bet on heads of the part ``tanh(b r)`` of the capital is then
    fair; r is the size of the difference over the root mean square of those so far, b one of ``BETS`` among which the
    capital is divided at first. So the capital is a non-negative supermartingale: it ever reaches 1 / alpha with a
    probability of at most alpha (Ville 1939), whenever and however often it is looked at. No bound is needed, and what
    is assumed is what the sign-flip test assumes. Source: Ramdas, Ruf, Larsson, Koolen 2020, "Admissible anytime-valid
    sequential inference must rely on nonnegative martingales", section on symmetric distributions.
    """
    d = checked(differences) - np.asarray(margin, dtype=np.float64)
    seeds = np.arange(1, d.shape[-1] + 1)
    scale = np.sqrt(np.cumsum(np.square(d), axis=-1) / seeds)
    r = np.divide(d, scale, out=np.zeros_like(d), where=scale > 0)
    # 1 + tanh(b |r|) sign(r) = 2 / (1 + exp(-2 b r))
    logs = np.stack([np.cumsum(math.log(2) - np.logaddexp(0, -2 * b * r), axis=-1) for b in BETS])
    found: Array = np.logaddexp.reduce(logs, axis=0) - math.log(len(BETS))
    return found


def bounded_wealth(differences: ArrayLike, bound: float, margin: float | Array = 0.0) -> Array:
    """Return the log of the capital of who bets that the mean of differences (..., n) in -bound..bound is above
    ``margin``.

    Nothing but the bound is assumed. The predictable plug-in bet, of at most 3/4 of what could be lost; the capital is
    a non-negative supermartingale as in ``signs_wealth``. Raises InvalidInput where a difference lies outside. Source:
    Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting", section 4.3.
    """
    d = checked(differences)
    if bound <= 0 or np.abs(d).max() > bound:
        raise InvalidInput({"bound": f"{bound:g} is not a bound: a difference is {np.abs(d).max():g}"})
    x, m = (d / bound + 1) / 2, np.asarray((np.asarray(margin, dtype=np.float64) / bound + 1) / 2)
    bets = np.minimum(_plug_in_bets(x), 0.75 / np.maximum(m, _ROUNDING))
    found: Array = np.cumsum(np.log1p(bets * (x - m)), axis=-1)
    return found


def _plug_in_bets(x: Array) -> Array:
    """Return the bets (..., n) on values in 0..1, each from the values before it; for an interval of level .95."""
    seeds = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + np.cumsum(x, axis=-1)) / (seeds + 1)
    variance = (0.25 + np.cumsum(np.square(x - mean), axis=-1)) / (seeds + 1)
    before = np.concatenate([np.full((*x.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    bets: Array = np.sqrt(2 * math.log(2 / ALPHA) / (before * seeds * np.log(seeds + 1)))
    return bets


@dataclass(frozen=True)
class Betting:
    """A test of differences that may be looked at after each seed, at no price.

    bound: the mean of differences in -bound..bound is bet on; None: their signs are, as a sign-flip test does.
    """

    bound: float | None = None

    def wealth(self, differences: ArrayLike, margin: float | Array = 0.0) -> tuple[Array, Array]:
        """Return the logs of both capitals (..., n): of who bets above the margin, and of who bets below it."""
        d, margin = checked(differences), np.asarray(margin, dtype=np.float64)
        if self.bound is None:
            return signs_wealth(d, margin), signs_wealth(-d, -margin)
        return bounded_wealth(d, self.bound, margin), bounded_wealth(-d, self.bound, -margin)

    def p(self, differences: ArrayLike, margin: float = 0.0) -> tuple[Array, Array]:
        """Return the two-sided p (..., n) after each seed, against above and against below the margin.

        Each never rises, and is at most a with probability a / 2 under the hypothesis, at whatever seed one stops: so
        what they are after the last seed holds, whoever looked before. Source: Ramdas, Gruenwald, Vovk, Shafer 2023,
        "Game-theoretic statistics and safe anytime-valid inference".
        """
        above, below = self.wealth(differences, margin)
        return _p(above), _p(below)

    def interval(self, differences: ArrayLike, alpha: float = ALPHA) -> Interval:
        """Return the mean of differences (n,), and which centres no bet has refused: an interval of level 1 - alpha
        at every seed at once.

        Infinite where so few seeds refuse nothing.
        """
        d = checked(differences)
        plain = mean_interval(d, alpha)
        high = self._limit(d, alpha)
        low = -self._limit(-d, alpha)
        return Interval(plain.mean, min(low, plain.mean), max(high, plain.mean), plain.spread, len(d))

    def _limit(self, d: Array, alpha: float) -> float:
        """Return the largest centre that is not refused for lying above the differences."""
        middle, size = float(d.mean()), float(np.abs(d - d.mean()).max()) or float(np.abs(d).max()) or 1.0
        tries: Array = np.asarray(middle + size * 2.0 ** np.arange(-3, 12), dtype=np.float64)
        if self.bound is not None:
            tries = np.append(tries[tries < self.bound], self.bound)
        refused = self._refused(d, tries, alpha)
        if not refused[-1]:
            return math.inf if self.bound is None else self.bound
        kept = middle if refused.all() else float(tries[~refused][-1])
        outside = float(tries[refused][0] if refused.all() else tries[np.flatnonzero(~refused)[-1] + 1])
        for _ in range(4):  # each narrows 16 times
            steps = np.linspace(kept, outside, 17)
            within = np.flatnonzero(~self._refused(d, steps[:-1], alpha))
            at = int(within[-1]) if len(within) else 0
            kept, outside = float(steps[at]), float(steps[at + 1])
        return outside

    def _refused(self, d: Array, centres: Array, alpha: float) -> NDArray[np.bool_]:
        each = np.broadcast_to(d, (len(centres), len(d)))
        _, below = self.wealth(each, centres[:, None])
        refused: NDArray[np.bool_] = below.max(axis=-1) >= math.log(2 / alpha)
        return refused


def _p(wealth: Array) -> Array:
    p: Array = np.minimum(1.0, 2 * np.exp(-np.maximum.accumulate(wealth, axis=-1)))
    return p


def power(d_z: float, n: int, alpha: float = ALPHA) -> float:
    """Return how often n seeds of an effect of ``d_z`` spreads decide for it by a two-sided paired t test.

    A sign-flip test has nearly the same where it can decide at all (``fewest_seeds``). Source: Cohen 1988, section 2.3.
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        return 0.0
    return float(1 - nctdtr(n - 1, abs(d_z) * math.sqrt(n), stdtrit(n - 1, 1 - alpha / 2)))


def seeds_needed(d_z: float, alpha: float = ALPHA, wanted: float = POWER) -> int | None:
    """Return how many seeds decide an effect of ``d_z`` spreads in ``wanted`` of all studies; None: more than 200."""
    if math.isinf(d_z):
        return fewest_seeds(alpha)
    counts = range(fewest_seeds(alpha), MOST_SEEDS + 1)
    return next((n for n in counts if power(d_z, n, alpha) >= wanted), None)


def more_seeds(
    differences: ArrayLike, margin: float = 0.0, alpha: float = ALPHA, betting: Betting | None = None
) -> int | None:
    """Return how many seeds more than these decide in 4 of 5 studies whose effect and spread are as seen so far.

    differences: (n,), n of 2 or more. betting: the test that is looked at after each seed; None: another fixed plan
    of so many seeds. None: more than 200 would be needed, or nothing is seen that could be decided.
    """
    d = checked(differences)
    seen = effect(d - margin)
    if math.isnan(seen.d_z):
        return None
    if betting is None:
        needed = seeds_needed(seen.d_z, alpha)
        return None if needed is None else max(1, needed - len(d))
    spread = float(d.std(ddof=1))
    drawn = np.random.default_rng(0).normal(float(d.mean()), spread, (200, MOST_SEEDS))
    if betting.bound is not None:
        drawn = drawn.clip(-betting.bound, betting.bound)
    paths = np.concatenate([np.broadcast_to(d, (200, len(d))), drawn], axis=1)
    decided = np.minimum(*betting.p(paths, margin)) <= alpha
    first = np.where(decided.any(axis=1), decided.argmax(axis=1) + 1 - len(d), MOST_SEEDS + 1)
    most = int(np.quantile(first, POWER, method="higher"))
    return max(1, most) if most <= MOST_SEEDS else None

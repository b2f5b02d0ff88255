"""What few paired seeds can say: intervals, the exact sign-flip test, tests that may be looked at early, seeds needed.

The unit is the seed. ``differences`` are one number a seed, (n,): what one arm has more than another with that seed, in
the unit of the outcome. A function that also takes (..., n) says so; seeds stand along the last axis, in the order in
which they were looked at. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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
FORESEEN = 30
"""In how many drawn studies it is looked how many more seeds decide."""
LOPSIDED, WIDER = 3.0, 2.0
"""Where one arm spreads 3 times as much as the other, an interval of their difference has to be twice as wide."""
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

    def widened(self) -> Interval:
        """Return it ``WIDER`` times as wide to each side of the mean."""
        low, high = (self.mean + WIDER * (end - self.mean) for end in (self.low, self.high))
        return replace(self, low=low, high=high)


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


def lopsided(first: ArrayLike, second: ArrayLike) -> float:
    """Return how many times as much ``second`` (n,) spreads over seeds as ``first`` (n,): 1 where neither does.

    Arms of like shape have a symmetric difference, on which t and signs rest. Beyond ``LOPSIDED``, or below its
    inverse, one arm alone shapes the difference, which may be as skewed as that arm. Of 5 pairs of equal normal arms
    that is so in 6 % of all studies, of 10 in .3 %.
    """
    one, other = checked(first, "first"), checked(second, "second")
    spreads = [float(each.std()) for each in (one, other)]
    least = _ROUNDING * max(float(np.abs(one).max()), float(np.abs(other).max()))
    a, b = (spread if spread > least else 0.0 for spread in spreads)
    return b / a if a else math.inf if b else 1.0


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
    alpha: float = ALPHA, alternative: Alternative = "two-sided", sequential: Sequential | None = None
) -> int:
    """Return the fewest seeds with which a test can decide at ``alpha``: 6 at .05, two-sided.

    sequential: the test that is looked at after each seed, which is two-sided; None: the sign-flip test.
    """
    if isinstance(sequential, Betting):
        return int((sequential.p(np.full(1_100, sequential.bound))[0] <= alpha).argmax()) + 1
    if sequential is not None:
        return int(_looks((1.0,) * 1_100, (alpha,))[0])
    return next(n for n in range(1, 1_100) if smallest_p(n, alternative) <= alpha)


def holm(p: Sequence[float]) -> list[float]:
    """Return each p as it counts among all of them, so that any false claim at all has the level of one.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    found, before = [1.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        before = found[place] = max(before, min(1.0, (len(p) - rank) * p[place]))
    return found


FIRST_LOOK = 6
"""Before this many seeds no sign-flip test decides at .05."""
SOON, SOON_SEEDS, LATE_SEEDS = 0.7, 4.0, 8.0
"""How false claims are spent: seven tenths within some four seeds of the first look, the rest in the long run."""
GRID, MOST_WEIGHT, WIDEST = 16, 8, 2_048
"""Sizes weigh in 1/16 of the first seeds' size, at most 8 times that; sums beyond 2,048 go on in twice the step."""
_HALVINGS = [np.arange(-40, -10, 4), np.arange(-20, -6) / 2, np.arange(-24, 0) / 8, np.arange(0, 18) / 4]
LEVELS = tuple((ALPHA * 2.0 ** np.concatenate(_HALVINGS)).tolist())
"""Which p a sequential sign-flip test can have below 1: .05 among them, and closely what Holm makes of it."""


def spent(seeds: ArrayLike) -> Array:
    """Return which part of its false claims a sequential sign-flip test may have made by a look: 0 to 1, rising.

    Written down for all seeds there can ever be, so that seeds may be added; chosen by simulation
    (``benchmarks/studies.py``). Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials".
    """
    late: Array = np.maximum(0.0, np.asarray(seeds, dtype=np.float64) - FIRST_LOOK + 1)
    return 1 - SOON * np.exp(-late / SOON_SEEDS) - (1 - SOON) / (1 + late / LATE_SEEDS)


def _sizes(d: Array) -> Array:
    """Return how large each difference (n,) is, in the root mean square of the first ones, and in ``GRID``."""
    size = np.abs(d)
    first = size[
        : max(FIRST_LOOK, int(np.flatnonzero(size)[0]) + 1)
    ]  # what comes later must change no weight
    scale = float(first.max()) * math.sqrt(np.square(first / first.max()).mean())
    scaled: Array = GRID * np.minimum(size / scale, MOST_WEIGHT)
    return scaled


def _looks(differences: tuple[float, ...], levels: tuple[float, ...]) -> NDArray[np.int64]:
    """Return at which seed a sequential sign-flip test of each two-sided level says 'above 0', (levels,).

    One more than there are, where it does not. The statistic is the sum of weights, which follow from the sizes, under
    the signs. Of all signs that were not refused before a look its distribution is counted; refused are its largest
    values, as many as ``spent`` allows by then. Where sums grow too wide, two neighbours become one.
    """
    d, n = np.asarray(differences), len(differences)
    found = np.full(len(levels), n + 1)
    if n < FIRST_LOOK or not d.any():
        return found
    going, refused, allowed = np.arange(len(levels)), np.zeros(len(levels)), np.asarray(levels) / 2
    mass = np.ones((len(levels), 1))  # of sums from -most to most
    most = at = 0
    step = 1
    for look, (size, above, part) in enumerate(
        zip(_sizes(d).tolist(), (d > 0).tolist(), spent(np.arange(1, n + 1)).tolist(), strict=True), start=1
    ):
        weight = round(size / step)
        at += weight if above else -weight
        before, mass = mass, np.zeros((len(going), 2 * (most + weight) + 1))
        mass[:, : before.shape[1]] = before / 2
        mass[:, 2 * weight :] += before / 2
        most += weight
        while most > WIDEST:
            mass = np.pad(mass, ((0, 0), (1 + most % 2, most % 2)))
            most = (most + 1) // 2
            mass = mass.reshape(len(going), 2 * most + 1, 2).sum(axis=2)
            at, step = (at + 1) // 2, 2 * step
        if look < FIRST_LOOK:
            continue
        upper = mass[:, most:]  # sums of 0 and more
        out = upper[:, ::-1].cumsum(axis=1)[:, ::-1] <= (allowed[going] * part - refused)[:, None]
        refused += np.where(out, upper, 0).sum(axis=1)
        upper[out] = 0
        if at >= 0 and (decided := out[:, at]).any():
            found[going[decided]] = look
            going, mass, refused = going[~decided], mass[~decided], refused[~decided]
            if not len(going):
                break
    return found


def bounded_wealth(differences: ArrayLike, bound: float, margin: float | Array = 0.0) -> Array:
    """Return the log of the capital of who bets that the mean of differences (..., n) in -bound..bound is above
    ``margin``.

    Nothing but the bound is assumed. The predictable plug-in bet, of at most 3/4 of what could be lost; the capital is
    a non-negative supermartingale: it ever reaches 1 / alpha with a probability of at most alpha (Ville 1939), whenever
    and however often it is looked at. Raises InvalidInput where a difference lies outside. Source: Waudby-Smith and
    Ramdas 2023, "Estimating means of bounded random variables by betting", section 4.3.
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


NEAR, NEAR_TRIES = 0.05, 128
"""How far beyond the edge of an interval centres are tried again, in the largest deviation of a seed; and how many.

What is kept again between two of these tries is not seen: a stretch of a 2,500th of that deviation."""


def _kept(
    d: Array, alpha: float, refused: Callable[[Array, Array], NDArray[np.bool_]], bound: float | None = None
) -> Interval:
    """Return the mean of differences (n,) with the centres that are not refused.

    refused: of differences and centres, which of these a test refuses for lying above.
    """
    plain = mean_interval(d, alpha)
    high, low = _limit(d, refused, bound), -_limit(-d, refused, bound)
    return Interval(plain.mean, min(low, plain.mean), max(high, plain.mean), plain.spread, len(d))


def _limit(d: Array, refused: Callable[[Array, Array], NDArray[np.bool_]], bound: float | None) -> float:
    """Return the largest centre that is not refused for lying above the differences."""
    middle, size = float(d.mean()), float(np.abs(d - d.mean()).max()) or float(np.abs(d).max()) or 1.0
    tries: Array = np.asarray(middle + size * 2.0 ** np.arange(-3, 12), dtype=np.float64)
    if bound is not None:
        tries = np.append(tries[tries < bound], bound)
    out = refused(d, tries)
    if not out[-1]:
        return math.inf if bound is None else bound
    kept = middle if out.all() else float(tries[~out][-1])
    outside = float(tries[out][0] if out.all() else tries[np.flatnonzero(~out)[-1] + 1])
    for _ in range(16):
        between = (kept + outside) / 2
        if refused(d, np.array([between]))[0]:
            outside = between
        else:
            kept = between
    # Weights are whole numbers, so that a little beyond the edge a centre may be kept again.
    beyond = outside + size * NEAR * np.arange(1, NEAR_TRIES + 1) / NEAR_TRIES
    if bound is not None:
        beyond = beyond[beyond < bound]
    again = np.flatnonzero(~refused(d, beyond))
    if not len(again):
        return outside
    return float(np.append(beyond, math.inf if bound is None else bound)[again[-1] + 1])


@dataclass(frozen=True)
class Spending:
    """The sign-flip test in a form that may be looked at after each seed: it spends its false claims look by look.

    What is assumed is what the sign-flip test assumes: each difference lies symmetrically about the margin, so that its
    sign is a fair coin whatever its size and the seeds before. Given the sizes, the share of all signs that are refused
    by a look is counted exactly and stays within ``spent``, so all looks together keep the level with any number of
    seeds. levels: which p it can have, rising; of one alone p is that, or 1.
    """

    levels: tuple[float, ...] = LEVELS

    def p(self, differences: ArrayLike, margin: float = 0.0) -> tuple[Array, Array]:
        """Return the two-sided p (..., n) after each seed, against above and against below the margin.

        It is the least of ``levels`` from which upwards every test has decided; it never rises, and is at most a with
        probability a / 2 under the hypothesis, at whatever seed one stops.
        """
        d = checked(differences) - margin
        rows = d.reshape(-1, d.shape[-1])
        above, below = (
            np.stack([_p_of_signs(tuple(row), self.levels) for row in side.tolist()])
            for side in (rows, -rows)
        )
        return above.reshape(d.shape), below.reshape(d.shape)

    def interval(self, differences: ArrayLike, alpha: float = ALPHA) -> Interval:
        """Return the mean of differences (n,), and which centres the test has refused at no look: an interval of level
        1 - alpha at every seed at once.

        Infinite where so few seeds refuse nothing.
        """
        return _interval_of_signs(tuple(checked(differences).tolist()), alpha)


@lru_cache(1024)
def _p_of_signs(differences: tuple[float, ...], levels: tuple[float, ...]) -> Array:
    """Return the p (n,) after each seed, against above 0."""
    looks = _looks(differences, levels)
    last = np.maximum.accumulate(
        looks[::-1]
    )  # by then the test of this level, and all of higher ones, have decided
    decided = (last[:, None] <= np.arange(1, len(differences) + 1)).sum(axis=0)
    found: Array = np.asarray((*levels, 1.0))[len(levels) - decided]
    found.setflags(write=False)
    return found


@lru_cache(1024)
def _interval_of_signs(differences: tuple[float, ...], alpha: float) -> Interval:
    def refused(d: Array, centres: Array) -> NDArray[np.bool_]:
        return np.array([_looks(tuple((centre - d).tolist()), (alpha,))[0] <= len(d) for centre in centres])

    return _kept(np.asarray(differences), alpha, refused)


@dataclass(frozen=True)
class Betting:
    """A test of the mean of differences in -bound..bound, by a bet on each of them."""

    bound: float

    def wealth(self, differences: ArrayLike, margin: float | Array = 0.0) -> tuple[Array, Array]:
        """Return the logs of both capitals (..., n): of who bets above the margin, and of who bets below it."""
        d, margin = checked(differences), np.asarray(margin, dtype=np.float64)
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
        """Return the mean of differences (n,), and which centres no bet has refused: as that of ``Spending``, and never
        beyond the bound.
        """

        def refused(d: Array, centres: Array) -> NDArray[np.bool_]:
            _, below = self.wealth(np.broadcast_to(d, (len(centres), len(d))), centres[:, None])
            found: NDArray[np.bool_] = below.max(axis=-1) >= math.log(2 / alpha)
            return found

        return _kept(checked(differences), alpha, refused, self.bound)


def _p(wealth: Array) -> Array:
    p: Array = np.minimum(1.0, 2 * np.exp(-np.maximum.accumulate(wealth, axis=-1)))
    return p


Sequential = Spending | Betting
"""A test of differences that may be looked at after each seed, at no price."""


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
    differences: ArrayLike, margin: float = 0.0, alpha: float = ALPHA, sequential: Sequential | None = None
) -> int | None:
    """Return how many seeds more than these decide in 4 of 5 studies whose effect and spread are as seen so far.

    differences: (n,), n of 2 or more. sequential: the test that is looked at after each seed; None: another fixed plan
    of so many seeds. None: more than 200 would be needed, or nothing is seen that could be decided.
    """
    d = checked(differences)
    seen = effect(d - margin)
    needed = None if math.isnan(seen.d_z) else seeds_needed(seen.d_z, alpha)
    if needed is None:  # and a test that is looked at needs no fewer
        return None
    if sequential is None:
        return max(1, needed - len(d))
    return _more_of_sequential(tuple((d - margin).tolist()), margin, alpha, sequential)


@lru_cache(1024)
def _more_of_sequential(d: tuple[float, ...], margin: float, alpha: float, test: Sequential) -> int | None:
    """Return the same of differences (n,) beyond the margin and a test that is looked at."""
    towards = 1 if sum(d) >= 0 else -1
    drawn = np.random.default_rng(0).normal(np.mean(d), np.std(d, ddof=1), (FORESEEN, MOST_SEEDS))
    if isinstance(test, Betting):
        drawn = (drawn + margin).clip(-test.bound, test.bound) - margin
    paths = np.concatenate([np.broadcast_to(d, (FORESEEN, len(d))), drawn], axis=1)
    if isinstance(test, Betting):
        decided = np.minimum(*test.p(paths + margin, margin)) <= alpha
        looks = np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, paths.shape[1] + 1)
    else:
        looks = np.array([_looks(tuple(path), (alpha,))[0] for path in (towards * paths).tolist()])
    most = int(np.quantile(looks - len(d), POWER, method="higher"))
    return max(1, most) if most <= MOST_SEEDS else None

"""How often the 95 % intervals of the metric suite hold the truth, on codes that are drawn anew each time.

python -m benchmarks.coverage             200 draws of each of five kinds of code, 300 pairs; 20 minutes, one thread
python -m benchmarks.coverage --draws 20  fewer; the rows say so

The truth of a number is its mean over all draws: what it is on average with so many samples. Goal: .93 to .98 for each
headline number of each kind, and two equal codes called different in at most 6 % of the pairs. After the rows stands
a table of all numbers: the share of intervals that held the truth, and their mean standard error over the true one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from acc.differences import standard_error
from acc.evaluation.metrics import Factor, Value, compared, suite
from acc.evaluation.metrics.prepared import prepare
from acc.evaluation.metrics.ufr import measure_ufr
from benchmarks.rows import Row, report

DRAWS, PAIRS = 200, 300
FIRST = 1_000
"""The seed of the first draw; the estimators were chosen on others."""
UNITS, VERSIONS = 180, 5
FAR = 100_000  # added to the seed of the second code of a pair
GROUPS = {"shape": (0, 2), "size": (2, 4), "lean": (4, 6), "free": (6, 8)}
LOWEST, HIGHEST, MOST_FALSE = 0.93, 0.98, 0.06
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """Latents (N, 8) of three factors with slots of two dimensions and two free ones, and the rows' units."""

    z: Array
    factors: list[Factor]
    units: NDArray[np.int64]

    def measure(self) -> dict[str, Value]:
        """Return the headline numbers by name, without chance."""
        return suite(self.z, self.factors, GROUPS, seed=0, units=self.units, permutations=0).headline()

    def ufr(self) -> Value:
        prepared = prepare(self.z, self.factors, GROUPS, seed=0, units=self.units)
        return measure_ufr(prepared, permutations=0).value


def factors(rng: np.random.Generator) -> tuple[list[Factor], NDArray[np.int64], Array]:
    """Return three factors, units, and the clean code (N, 6): a shape per unit, sizes and leans per version."""
    units = np.repeat(np.arange(UNITS), VERSIONS)
    shape = (rng.permutation(UNITS) % 3)[units]
    size, lean = rng.uniform(-1, 1, len(units)), rng.uniform(-1, 1, len(units))
    corners = np.array([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])[shape] * 1.4
    clean = np.concatenate([corners, np.outer(size, [1.6, -1.2]), np.outer(lean, [1.5, 1.3])], axis=1)
    return [Factor.cat("shape", shape), Factor.cont("size", size), Factor.cont("lean", lean)], units, clean


def code(seed: int, kind: str, noise_seed: int | None = None) -> Draw:
    """Return one draw of a kind of code. ``noise_seed``: of another code of the same images."""
    images = np.random.default_rng([seed, 0])
    columns, units, clean = factors(images)
    rng = np.random.default_rng([seed if noise_seed is None else noise_seed, 1])
    scale = 1.0 if kind == "noisy" else 0.35
    # Half of the noise belongs to the unit: versions of one scan err alike.
    noise = rng.normal(size=(UNITS, 8))[units] + rng.normal(size=(len(units), 8))
    z = np.concatenate([clean, np.zeros((len(clean), 2))], axis=1) + scale * noise / 2**0.5
    z[:, 6:] += noise[:, 6:]
    return Draw(SHAPES[kind](z, columns), columns, units)


def turned(z: Array, angle: float) -> Array:
    """Return latents turned by ``angle`` in a fixed random set of planes."""
    from scipy.linalg import expm

    random = np.random.default_rng(9).normal(size=(8, 8))
    turn = (random - random.T) / np.sqrt(np.square(random - random.T).sum(axis=1).mean())
    return np.asarray(z @ expm(angle * turn))


def fractured(z: Array, columns: list[Factor]) -> Array:
    """Return latents whose slot of size is coded otherwise for one of the shapes."""
    other = columns[0].values == 2
    z = z.copy()
    z[np.ix_(other, [2, 3])] = z[np.ix_(other, [3, 2])] * 0.9
    return z


def leaking(z: Array, _columns: list[Factor]) -> Array:
    """Return latents with a faint copy of size in the free slot."""
    z = z.copy()
    z[:, 6] += 0.5 * z[:, 2]
    return z


SHAPES: Mapping[str, Callable[[Array, list[Factor]], Array]] = {
    "factored": lambda z, _: z,
    "mixed": lambda z, _: turned(z, 0.3),
    "fractured": fractured,
    "leaking": leaking,
    "noisy": lambda z, _: z,
}


@dataclass(frozen=True)
class Held:
    """What intervals were worth: the share that held the truth, and their standard error over the true one."""

    share: float
    error: float


def held(values: Sequence[Value]) -> Held:
    """Return what the intervals of one number in many draws were worth; one that is missing holds nothing."""
    numbers = np.array([value.value for value in values])
    truth = numbers.mean()
    inside = [value.low is not None and value.low <= truth <= (value.high or 0.0) for value in values]
    errors = [standard_error(np.array(value.without)) for value in values if value.without]
    spread = numbers.std(ddof=1)
    return Held(
        float(np.mean(inside)), float(np.sqrt(np.mean(np.square(errors))) / spread) if spread else 1.0
    )


def measured(kind: str, draws: int) -> dict[str, list[Value]]:
    """Return the headline numbers of draws of a kind of code, by name."""
    found: dict[str, list[Value]] = {}
    for seed in range(FIRST, FIRST + draws):
        for name, value in code(seed, kind).measure().items():
            found.setdefault(name, []).append(value)
    return found


def false_alarms(kind: str, pairs: int, known: Sequence[Value]) -> float:
    """Return how often UFR calls two codes of the same images different that differ by their noise alone.

    known: the UFR of the first codes of the first pairs.
    """
    called = 0
    for number in range(pairs):
        seed = FIRST + number
        first = known[number] if number < len(known) else code(seed, kind).ufr()
        difference = compared(first, code(seed, kind, FAR + seed).ufr())
        called += difference is not None and difference.beyond_noise
    return called / pairs


def table(found: Mapping[str, Mapping[str, Held]]) -> str:
    """Return a Markdown table of kinds and numbers."""
    kinds = list(found)
    lines = ["| | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    for name in found[kinds[0]]:
        cells = [f"{found[kind][name].share:.3f} ({found[kind][name].error:.2f})" for kind in kinds]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"of each kind of code; default {DRAWS}")
    draws = parser.parse_args().draws
    pairs = draws * PAIRS // DRAWS
    torch.set_num_threads(1)
    size = f"{draws} draws of {UNITS} units x {VERSIONS} rows x 8"
    with threadpool_limits(1):
        values = {}
        for kind in SHAPES:
            values[kind] = measured(kind, draws)
            print(f"{kind} drawn", file=sys.stderr, flush=True)
        share = false_alarms("mixed", pairs, values["mixed"]["ufr"])
    found = {kind: {name: held(each) for name, each in values[kind].items()} for kind in SHAPES}
    for name in values["mixed"]:
        shares = {kind: found[kind][name].share for kind in SHAPES}
        told = f"{size}; " + ", ".join(f"{kind} {share:.3f}" for kind, share in shares.items())
        least, greatest = min(shares.values()), max(shares.values())
        report(Row(f"coverage: {name}, least", least, "", LOWEST, "higher", told, "nominal .95"))
        report(Row(f"coverage: {name}, greatest", greatest, "", HIGHEST, "lower", told, "nominal .95"))
    told = f"{pairs} pairs of codes of the same images, mixed"
    report(Row("coverage: equal codes called different", share, "", MOST_FALSE, "lower", told, "nominal .05"))
    print(table(found))


if __name__ == "__main__":
    main()

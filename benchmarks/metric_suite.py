"""The metric suite beside the same metrics by loops over scikit-learn estimators, on the same latents, one thread.

python -m benchmarks.metric_suite           10,000 samples x 64 latents x 5 factors of 5 classes; minutes, for the trees
python -m benchmarks.metric_suite --quick   1,500 x 16; the rows say so
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from acc.evaluation.metrics import Factor, Groups, suite
from acc.evaluation.metrics.dci import dci_gam, dci_trees
from acc.evaluation.metrics.explicitness import explicitness
from acc.evaluation.metrics.information import information
from acc.evaluation.metrics.prepared import Prepared, prepare
from acc.evaluation.metrics.sap import sap
from acc.evaluation.metrics.spectrum import spectrum
from acc.evaluation.metrics.ufr import measure_ufr
from benchmarks.rows import Row, median, report

FACTORS, CLASSES, FREE = 5, 5, 4
REPEATS = 5
PERMUTATIONS, RESAMPLES = 20, 20


@dataclass(frozen=True)
class World:
    """Latents z (N, D), labels y (N, F), and one range of dimensions for each factor."""

    z: np.ndarray
    y: np.ndarray
    groups: Groups

    def factors(self) -> list[Factor]:
        return [Factor.cat(f"factor{f}", self.y[:, f]) for f in range(FACTORS)]

    def prepared(self) -> Prepared:
        return prepare(self.z, self.factors(), self.groups, seed=0)


def make_world(n: int, dimensions: int) -> World:
    rng = np.random.default_rng(0)
    width = (dimensions - FREE) // FACTORS
    y = np.stack([rng.permutation(n) % CLASSES for _ in range(FACTORS)], axis=1)
    parts = [
        rng.normal(size=(CLASSES, width))[y[:, f]] + 0.3 * rng.normal(size=(n, width)) for f in range(FACTORS)
    ]
    free = dimensions - width * FACTORS
    slots = {f"factor{f}": (width * f, width * (f + 1)) for f in range(FACTORS)} | {
        "free": (width * FACTORS, dimensions)
    }
    return World(np.concatenate([*parts, rng.normal(size=(n, free))], axis=1), y, Groups.ranges(slots))


class Loops:
    """The same metrics by loops over estimators, on the samples and halves that ours see."""

    def __init__(self, prepared: Prepared) -> None:
        self.z, self.fold = prepared.z.numpy(), prepared.fold.numpy()
        self.y = np.stack([column.values.numpy() for column in prepared.columns], axis=1)
        self.train, self.test = (rows.numpy() for rows in prepared.halves)
        self.views = [dims.numpy() for dims in prepared.views]

    def information(self) -> None:
        edges = [np.histogram(self.z[:, d], 20)[1][:-1] for d in range(self.z.shape[1])]
        binned = np.stack([np.digitize(self.z[:, d], edges[d]) for d in range(self.z.shape[1])], axis=1)
        for f in range(FACTORS):
            for d in range(binned.shape[1]):
                mutual_info_score(self.y[:, f], binned[:, d])

    def sap(self) -> None:
        for f in range(FACTORS):
            for d in range(self.z.shape[1]):
                model = LinearSVC(C=0.01, class_weight="balanced").fit(
                    self.z[self.train][:, [d]], self.y[self.train, f]
                )
                balanced_accuracy_score(self.y[self.test, f], model.predict(self.z[self.test][:, [d]]))

    def explicitness(self) -> None:
        for dims_of in (lambda _: self.views[0], lambda f: self.views[f + 1]):
            for f in range(FACTORS):
                dims = dims_of(f)
                model = LogisticRegression(max_iter=1000).fit(
                    self.z[self.train][:, dims], self.y[self.train, f]
                )
                odds = model.predict_proba(self.z[self.test][:, dims])
                for c in range(CLASSES):
                    roc_auc_score(self.y[self.test, f] == c, odds[:, c])

    def spectrum(self) -> None:
        for dims in self.views:
            PCA().fit(self.z[:, dims])
        PCA().fit(self.z / self.z.std(axis=0))

    def ufr(self) -> None:
        """Every probe of the matrix: concept, context, view, level, fold; tested on all levels of its fold."""
        prior = np.full(CLASSES, 1 / CLASSES)
        for concept in range(FACTORS):
            for context in range(FACTORS):
                if context == concept:
                    continue
                y, level = self.y[:, concept], self.y[:, context]
                for dims in self.views:
                    z = self.z[:, dims]
                    for a in range(CLASSES):
                        for fold in range(4):
                            rows = (level == a) & (self.fold != fold)
                            model = LinearDiscriminantAnalysis("lsqr", shrinkage=0.01, priors=prior).fit(
                                z[rows], y[rows]
                            )
                            held = self.fold == fold
                            guess = model.predict(z[held])
                            for b in range(CLASSES):
                                of_level = level[held] == b
                                balanced_accuracy_score(y[held][of_level], guess[of_level], adjusted=True)


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median CPU time of ``action``: on one thread it is what a free core would take."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="1,500 samples x 16 latents instead of 10,000 x 64"
    )
    n, dimensions = (1_500, 16) if parser.parse_args().quick else (10_000, 64)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        measure(make_world(n, dimensions), f"{n:,} x {dimensions} x {FACTORS}")


def measure(world: World, size: str) -> None:
    prepared = world.prepared()
    loops = Loops(prepared)
    preparing = seconds(world.prepared)

    def row(
        name: str, ours: float, theirs: float, goal: float, estimator: str, *, how: str = ""
    ) -> tuple[float, float]:
        measured, baseline = f"{ours * 1000:.0f} CPU ms for {size}", f"{estimator}, {theirs:.3g} CPU s{how}"
        report(Row(f"metrics: {name}", theirs / ours, "x", goal, "higher", measured, baseline))
        return ours, theirs

    def plain_ufr() -> object:
        return measure_ufr(prepared, permutations=0, resamples=0)

    def full_ufr() -> object:
        return measure_ufr(prepared, permutations=PERMUTATIONS, resamples=RESAMPLES)

    rows = [
        row(
            "mutual information, MIG, modularity",
            seconds(lambda: information(prepared)),
            seconds(loops.information, 1),
            10,
            "mutual_info_score per dimension and factor",
        ),
        row(
            "SAP",
            seconds(lambda: sap(prepared)),
            seconds(loops.sap, 1),
            10,
            "LinearSVC per dimension and factor",
        ),
        row(
            "explicitness, all and own dimensions",
            seconds(lambda: explicitness(prepared)),
            seconds(loops.explicitness, 3),
            10,
            "LogisticRegression and roc_auc_score",
        ),
        row(
            "effective rank, participation ratio",
            seconds(lambda: spectrum(prepared)),
            seconds(loops.spectrum),
            10,
            "PCA",
        ),
        row(
            "UFR matrix and parallelism",
            seconds(plain_ufr),
            seconds(loops.ufr, 1),
            90,
            "LinearDiscriminantAnalysis per cell, no parallelism",
        ),
        row(
            "DCI, additive against trees",
            seconds(lambda: dci_gam(prepared)),
            seconds(lambda: dci_trees(prepared), 1),
            10,
            "GradientBoostingClassifier per factor (another estimator)",
        ),
    ]
    ours, theirs = preparing + sum(pair[0] for pair in rows), sum(pair[1] for pair in rows)
    row("whole suite without chance and intervals", ours, theirs, 500, "the sum of the above, with trees")
    _, ufr_theirs = rows[4]
    with_chance = seconds(full_ufr, 3)
    row(
        f"UFR with {PERMUTATIONS} label permutations and {RESAMPLES} groups left out",
        with_chance,
        (PERMUTATIONS + RESAMPLES + 1) * ufr_theirs,
        90,
        "the same loop for each permutation and without each group",
        how=f" EXTRAPOLATED: one pass of {ufr_theirs:.3g} s measured, times {PERMUTATIONS + RESAMPLES + 1}",
    )
    row(
        "whole suite with chance and intervals",
        seconds(lambda: suite(world.z, world.factors(), world.groups, seed=0), 1),
        theirs + PERMUTATIONS * ufr_theirs + RESAMPLES * theirs,
        500,
        "the sum, with trees, and all of it again without each group",
        how=" EXTRAPOLATED as above",
    )


if __name__ == "__main__":
    main()

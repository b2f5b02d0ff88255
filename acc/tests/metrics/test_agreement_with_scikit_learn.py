"""Every estimator against one written independently, by loops over scikit-learn, on random and real latents."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, mutual_info_score, r2_score, roc_auc_score
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder

from acc.evaluation.metrics import Factor, Groups
from acc.evaluation.metrics.dci import concentration, dci_gam
from acc.evaluation.metrics.explicitness import explicitness
from acc.evaluation.metrics.information import information
from acc.evaluation.metrics.prepared import prepare
from acc.evaluation.metrics.sap import sap
from acc.evaluation.metrics.spectrum import spectrum
from acc.evaluation.metrics.ufr import measure_ufr
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World


def random_world() -> World:
    rng = np.random.default_rng(2)
    n = 1500
    a, b = rng.integers(0, 4, n), rng.integers(0, 3, n)
    r = 0.4 * a + rng.normal(size=n)
    signal = np.column_stack([np.eye(4)[a], np.eye(3)[b], r, r**2, a * b])
    z = signal @ rng.normal(size=(signal.shape[1], 8)) + rng.normal(size=(n, 8))
    groups = Groups.ranges({"a": (0, 3), "b": (3, 5), "r": (5, 8)})
    return World(z, [Factor.cat("a", a), Factor.cat("b", b), Factor.cont("r", r)], groups, None)


def real_world() -> World:
    """Principal components of real digits; the digit, its ink, and which side is the heavier."""
    images, digit = load_digits(return_X_y=True)
    ink = images.sum(axis=1)
    halves = images.reshape(-1, 8, 8)
    side = (halves[:, :, 4:].sum((1, 2)) > halves[:, :, :4].sum((1, 2))).astype(int)
    z = PCA(8, random_state=0).fit_transform(images)
    groups = Groups.ranges({"digit": (0, 4), "ink": (4, 6), "side": (6, 8)})
    return World(
        z, [Factor.cat("digit", digit), Factor.cont("ink", ink), Factor.cat("side", side)], groups, None
    )


@pytest.fixture(
    scope="module",
    params=[random_world, real_world, lambda: worlds.factored(1000)],
    ids=["random", "digits", "made"],
)
def prepared(request):
    world = request.param()
    return prepare(world.z, world.factors, world.groups, seed=5)


class Loops:
    """The prepared samples as numpy, with their folds."""

    def __init__(self, prepared):
        self.z, self.fold = prepared.z.numpy(), prepared.fold.numpy()
        self.train, self.test = (rows.numpy() for rows in prepared.halves)
        self.columns = prepared.columns
        self.views = [dims.numpy() for dims in prepared.views]


def usable_levels(level: np.ndarray) -> list[int]:
    return [b for b in np.unique(level) if (level == b).sum() >= 20]


def test_skills_of_real_factors_equal_those_of_sklearn_ridge(prepared):
    found, loops = measure_ufr(prepared, permutations=0, resamples=0), Loops(prepared)
    checked = 0
    for column in (c for c in loops.columns if c.kind == "cont"):
        y = column.values.numpy()
        for context in (c for c in loops.columns if c is not column):
            level = context.level.numpy()
            matrix = found.matrices[f"{column.name}|{context.name}"]
            for view, dims in enumerate(loops.views):
                for a in usable_levels(level):
                    guess = np.zeros(len(y))
                    for fold in range(4):
                        rows = (level == a) & (loops.fold != fold)
                        model = Ridge(alpha=0.01 * rows.sum()).fit(loops.z[rows][:, dims], y[rows])
                        guess[loops.fold == fold] = model.predict(loops.z[loops.fold == fold][:, dims])
                    for b in usable_levels(level):
                        expected = r2_score(y[level == b], guess[level == b])
                        assert matrix[view, a, b] == pytest.approx(np.clip(expected, -1, 1), abs=1e-9)
                        checked += 1
    assert checked > 20


class PooledRidge:
    """Shared covariance of sklearn's discriminant: the pooled within-class covariance plus the ridge."""

    def __init__(self, z, y):
        classes, counts = np.unique(y, return_counts=True)
        pooled = sum(
            n / len(y) * np.cov(z[y == c].T, bias=True).reshape(z.shape[1], -1)
            for c, n in zip(classes, counts, strict=True)
        )
        self.pooled = pooled + 0.01 * np.eye(z.shape[1])

    def fit(self, _):
        self.covariance_ = self.pooled
        return self


def test_skills_of_classes_equal_those_of_sklearn_discriminants(prepared):
    found, loops = measure_ufr(prepared, permutations=0, resamples=0), Loops(prepared)
    differences = []
    for column in (c for c in loops.columns if c.kind == "cat"):
        y = column.values.numpy()
        context = next(c for c in loops.columns if c is not column)
        level = context.level.numpy()
        matrix = found.matrices[f"{column.name}|{context.name}"]
        for view, dims in enumerate(loops.views):
            for a in usable_levels(level):
                guess = np.zeros((len(y), column.classes))
                for fold in range(4):
                    rows, held = (level == a) & (loops.fold != fold), loops.fold == fold
                    z, truth = loops.z[rows][:, dims], y[rows]
                    prior = np.full(len(np.unique(truth)), 1 / len(np.unique(truth)))
                    model = LinearDiscriminantAnalysis(
                        "lsqr", priors=prior, covariance_estimator=PooledRidge(z, truth)
                    )
                    guess[np.ix_(held, np.unique(truth))] = (
                        model.fit(z, truth).decision_function(loops.z[held][:, dims]).reshape(held.sum(), -1)
                        if len(prior) > 2
                        else two_columns(model.fit(z, truth), loops.z[held][:, dims])
                    )
                for b in usable_levels(level):
                    rows = level == b
                    expected = balanced_accuracy_score(y[rows], guess[rows].argmax(1), adjusted=True)
                    differences.append(abs(matrix[view, a, b] - expected))
    assert len(differences) > 20
    assert np.quantile(differences, 0.95) < 1e-6  # a tie by rounding may fall either way
    assert max(differences) < 0.01


def two_columns(model, z):
    score = model.decision_function(z)
    return np.column_stack([-score, score])


def test_skills_of_classes_are_near_those_of_logistic_regression(prepared):
    """Another probe, so not equal: cells must rank alike."""
    found, loops = measure_ufr(prepared, permutations=0, resamples=0), Loops(prepared)
    column = next(c for c in loops.columns if c.kind == "cat")
    context = next(c for c in loops.columns if c is not column)
    y, level = column.values.numpy(), context.level.numpy()
    ours, theirs = [], []
    for view, dims in enumerate(loops.views):
        for a in usable_levels(level):
            rows = (level == a) & (loops.fold != 0)
            model = LogisticRegression(class_weight="balanced", max_iter=300).fit(
                loops.z[rows][:, dims], y[rows]
            )
            for b in usable_levels(level):
                held = (level == b) & (loops.fold == 0)
                theirs.append(
                    balanced_accuracy_score(y[held], model.predict(loops.z[held][:, dims]), adjusted=True)
                )
                ours.append(found.matrices[f"{column.name}|{context.name}"][view, a, b])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9


def test_mutual_information_and_mig_equal_sklearn(prepared):
    found, loops = information(prepared), Loops(prepared)
    binned = KBinsDiscretizer(
        20, encode="ordinal", strategy="uniform", quantile_method="linear"
    ).fit_transform(loops.z)
    gaps = []
    for f, column in enumerate(loops.columns):
        y = column.values.numpy()
        if column.kind == "cont":
            y = np.searchsorted(np.quantile(y, np.arange(1, 20) / 20), y, side="right")
        mutual = np.array([mutual_info_score(y, binned[:, d]) for d in range(binned.shape[1])])
        assert found.table[:, f] == pytest.approx(
            mutual, abs=1e-3
        )  # a value on a bin's edge may fall either way
        assert np.median(np.abs(found.table[:, f] - mutual)) < 1e-12
        ordered = np.sort(mutual)
        gaps.append((ordered[-1] - ordered[-2]) / mutual_info_score(y, y))
    assert found.mig.value == pytest.approx(np.mean(gaps), abs=2e-3)


def test_sap_equals_correlations_and_nearest_centroids(prepared):
    found, loops = sap(prepared), Loops(prepared)
    for f, column in enumerate(loops.columns):
        y = column.values.numpy()
        for d in range(loops.z.shape[1]):
            if column.kind == "cont":
                expected = np.corrcoef(loops.z[:, d], y)[0, 1] ** 2
            else:
                model = NearestCentroid().fit(loops.z[loops.train][:, [d]], y[loops.train])
                guess = model.predict(loops.z[loops.test][:, [d]])
                expected = max(0, balanced_accuracy_score(y[loops.test], guess, adjusted=True))
            assert found.table[d, f] == pytest.approx(expected, abs=1e-9)


def test_explicitness_equals_the_auc_of_sklearn(prepared):
    found, loops = explicitness(prepared), Loops(prepared)
    for f, column in enumerate(loops.columns):
        y = column.level.numpy()
        z, truth = loops.z[loops.train], y[loops.train]
        count = len(np.unique(truth))
        model = LinearDiscriminantAnalysis(
            "lsqr", priors=np.full(count, 1 / count), covariance_estimator=PooledRidge(z, truth)
        ).fit(z, truth)
        held = loops.z[loops.test]
        score = two_columns(model, held) / 2 if count == 2 else model.decision_function(held)
        odds = softmax(score, axis=1)
        expected = np.mean([roc_auc_score(y[loops.test] == c, odds[:, c]) for c in range(count)])
        assert found.table[f] == pytest.approx(expected, abs=1e-6)


def test_dci_equals_a_ridge_on_one_hot_bins(prepared):
    found, loops = dci_gam(prepared), Loops(prepared)
    z = loops.z[loops.train]
    edges = np.sort(z, axis=0)[np.arange(1, 10) * len(z) // 10]
    bins = np.stack(
        [np.searchsorted(np.unique(edges[:, d]), z[:, d], side="left") for d in range(z.shape[1])], axis=1
    )
    encoder = OneHotEncoder(sparse_output=False)
    one_hot = encoder.fit_transform(bins)
    sizes = [len(categories) for categories in encoder.categories_]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # The ridge is set by all ten bins of a dimension, empty or not.
    alpha = 0.01 * one_hot.var(axis=0).sum() / (10 * z.shape[1]) * len(z)
    table = np.zeros((z.shape[1], len(loops.columns)))
    for f, column in enumerate(loops.columns):
        y = column.values.numpy()[loops.train]
        target = y[:, None] if column.kind == "cont" else np.eye(column.classes)[y]
        weight = Ridge(alpha=alpha).fit(one_hot, target).coef_.reshape(target.shape[1], -1)
        for d in range(z.shape[1]):
            part = slice(starts[d], starts[d + 1])
            table[d, f] = (one_hot[:, part] @ weight[:, part].T).var(axis=0).sum() / target.var(axis=0).sum()
    assert found.importance == pytest.approx(table, abs=1e-5)
    weights = table.sum(axis=1) / table.sum()
    assert found.disentanglement.value == pytest.approx((concentration(table) * weights).sum(), abs=1e-4)


def test_ranks_equal_those_of_singular_values(prepared):
    found, z = spectrum(prepared), Loops(prepared).z
    singular = np.linalg.svd(z - z.mean(0), compute_uv=False)
    share = singular / singular.sum()
    rank = np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())
    assert found.effective_rank_standardised.value == pytest.approx(rank, rel=1e-6)
    ratio = (singular**2).sum() ** 2 / (singular**4).sum()
    assert found.participation_ratio_standardised.value == pytest.approx(ratio, rel=1e-9)

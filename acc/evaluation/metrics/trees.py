"""Gradient-boosted trees as the slow second opinion on which dimension matters for which factor."""

from __future__ import annotations

import numpy as np

from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.values import Array


def fit_trees(prepared: Prepared) -> tuple[Array, Array]:
    """Return importance (D, F) and held-out skill (F,); dead factors are NaN, inactive dimensions 0.

    Importance is the trees' impurity decrease times the skill, so that a factor which cannot be predicted
    weighs nothing. Cost grows with samples x dimensions x classes: minutes for 10,000 x 64.
    """
    # Imported here: scikit-learn takes as long to import as the rest of the suite takes to run.
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
    from sklearn.metrics import balanced_accuracy_score, r2_score

    train, test = (rows.cpu().numpy() for rows in prepared.halves)
    active = prepared.active.cpu().numpy()
    z = prepared.z.cpu().numpy()[:, active]
    importance = np.zeros((len(active), len(prepared.columns)))
    importance[:, [not column.alive for column in prepared.columns]] = np.nan
    skill = np.full(len(prepared.columns), np.nan)
    for index in prepared.alive:
        column = prepared.columns[index]
        values = column.values.cpu().numpy()
        if not active.any():
            skill[index] = 0.0
            continue
        if column.kind == "cont":
            model = GradientBoostingRegressor(random_state=prepared.seed % 2**32).fit(z[train], values[train])
            skill[index] = max(0.0, float(r2_score(values[test], model.predict(z[test]))))
        elif len(np.unique(values[train])) < 2 or len(np.unique(values[test])) < 2:
            continue
        else:
            model = GradientBoostingClassifier(random_state=prepared.seed % 2**32).fit(
                z[train], values[train]
            )
            guess = model.predict(z[test])
            skill[index] = max(0.0, float(balanced_accuracy_score(values[test], guess, adjusted=True)))
        importance[active, index] = model.feature_importances_ * skill[index]
    return importance, skill

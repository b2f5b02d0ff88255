"""What a page says of a target column in one line: no digits of rounding, and no break within a fact."""

from __future__ import annotations

from accsite.apps.datasets.pages import column_facts


def of(mean: float, std: float) -> dict[str, str]:
    return dict(column_facts({"kind": "real", "min": -0.3, "max": 0.2998, "mean": mean, "std": std}))


def test_a_mean_that_rounding_left_of_0_is_about_0() -> None:
    assert of(-7.83e-07, 0.173) == {"range": "-0.3 to 0.2998", "mean": "about 0", "sd": "0.173"}


def test_a_small_mean_of_a_small_spread_is_told() -> None:
    assert of(0.00376, 0.173)["mean"] == "0.00376"
    assert of(7.83e-07, 2e-7)["mean"] == "7.83e-07"
    assert of(0.0, 0.173)["mean"] == "0"
    assert of(0.5, 0.0)["mean"] == "0.5"

"""A trained model grown by identity loses nothing, at random it drops; both, trained on, exceed it. Three seeds."""

from __future__ import annotations

import pytest

from benchmarks import expansion


@pytest.mark.slow
@pytest.mark.parametrize("seed", expansion.SEEDS)
def test_a_grown_one_layer_model_reads_more_digits_than_before(seed: int) -> None:
    found = expansion.study(seed, expansion.digits())
    assert found["before"] > 0.7
    assert found["identity after"] == pytest.approx(found["before"], abs=1e-3)
    assert found["random after"] < found["before"] - 0.05
    assert found["identity trained"] > found["before"] + 0.02
    assert found["random trained"] > found["before"] + 0.02

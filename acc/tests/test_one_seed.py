"""One seed seeds all of a run in a notebook; separate ones can be given."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.errors import InvalidInput
from acc.tests import helpers
from acc.training.run import TrainRun, train
from acc.training.split import split_indices

DATA = helpers.blobs(60, seed=0)


def run(**options: Any) -> TrainRun:
    return train(
        DATA,
        tasks=[
            "ReconstructionTask",
            {"task_class": "ClassificationTask", "params": {"target_name": "digit"}},
        ],
        latent_dim=4,
        **{"steps": 1, "lr": 1e-9, "device": "cpu", "batch_size": 8, **options},
    )


def weights(made: TrainRun, part: str = "model.") -> torch.Tensor:
    tensors = made.checkpoint.tensors
    return torch.cat([tensors[name].flatten().float() for name in sorted(tensors) if name.startswith(part)])


def held_out(made: TrainRun) -> list[int]:
    job = made.checkpoint.header.spec
    rows = split_indices(DATA, seed=job.model.seed, val_fraction=job.train.val_fraction)[1]
    return sorted(rows.tolist())


def test_another_seed_gives_other_first_weights_heads_and_held_out_rows() -> None:
    first, same, other = run(seed=1), run(seed=1), run(seed=2)
    assert torch.equal(weights(first), weights(same))
    for part in ("model.", "head."):
        assert (weights(first, part) - weights(other, part)).abs().max() > 0.01
    assert held_out(first) == held_out(same) != held_out(other)


def test_weights_and_held_out_rows_may_have_a_seed_of_their_own() -> None:
    one, two = run(seed=1, model_seed=7), run(seed=2, model_seed=7)
    assert torch.allclose(weights(one), weights(two), atol=1e-6)
    assert held_out(one) == held_out(two)
    assert one.losses != two.losses, "order and noise are those of the other seed"
    named = run(seed=1, model={"architecture": "FactorSlotAutoencoder", "seed": 7})
    assert torch.equal(weights(one), weights(named))


def test_a_run_that_goes_on_keeps_what_its_checkpoint_held_out() -> None:
    first = run(seed=3)
    more = run(seed=4, start_from=first.checkpoint)
    assert held_out(more) == held_out(first)
    with pytest.raises(InvalidInput) as refused:
        run(model_seed=5, start_from=first.checkpoint)
    assert list(refused.value.fields) == ["model_seed"]


def test_a_seed_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        run(seed=-1)
    assert list(refused.value.fields) == ["seed"]

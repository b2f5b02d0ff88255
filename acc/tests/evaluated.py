"""A trained checkpoint and its evaluator for the tests of evaluation: made once, looked at by many."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch

from acc.data import AccDataset
from acc.evaluation import FactoringEvaluator
from acc.specs import ModelSpec
from acc.tests import helpers
from acc.training.checkpoints.files import Checkpoint


@functools.cache
def data() -> AccDataset:
    """Return blobs enough for cells of a matrix."""
    return helpers.blobs(1000, seed=4)


@functools.cache
def checkpoint(architecture: str = "FactorSlotAutoencoder", bottleneck: str = "pooled") -> Checkpoint:
    """Return a model whose groups digit and size have learnt a little."""
    params = {"bottleneck": bottleneck} if architecture == "FactorSlotAutoencoder" else {}
    return trained(helpers.model_spec(architecture, params=params), steps=250)


def trained(model: ModelSpec, **train: Any) -> Checkpoint:
    """Return the checkpoint of a short run on ``data()``."""
    tasks = [
        helpers.task("reconstruction", weight=10.0),
        *(
            helpers.task(kind, factor=factor if any(g.name == factor for g in model.factor_groups) else None)
            for kind, factor in (("classification", "digit"), ("regression", "size"))
        ),
    ]
    spec = helpers.job({"data": data()}, tasks, model=model, **{"lr": 5e-3, "batch_size": 64, **train})
    _, sink = helpers.run(spec, {"data": data()})
    return sink.last.checkpoint()


def evaluator(
    made: Checkpoint | None = None, dataset: AccDataset | None = None, **options: Any
) -> FactoringEvaluator:
    """Return an evaluator on the CPU."""
    given = dataset or data()
    return FactoringEvaluator(
        made or checkpoint(), given, helpers.shipped_tasks(), device="cpu", **{"rows": "all", **options}
    )


def with_weights(made: Checkpoint, **changed: torch.Tensor) -> Checkpoint:
    """Return the checkpoint with some tensors of its model replaced."""
    tensors = {**made.tensors, **{f"model.{name}": tensor for name, tensor in changed.items()}}
    return dataclasses.replace(made, tensors=tensors)

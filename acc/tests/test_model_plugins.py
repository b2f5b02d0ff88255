"""An architecture from the plugins folder trains, is measured, and travels in its checkpoint like a built-in one."""

from __future__ import annotations

import numpy as np

from acc.data import AccDataset
from acc.evaluation import evaluate_checkpoint
from acc.plugins import PluginRegistry
from acc.tests import helpers
from acc.training.plugin_set import PluginSet


def test_a_shipped_architecture_learns_and_its_source_is_kept(dataset: AccDataset) -> None:
    registry = PluginRegistry(helpers.PLUGINS_DIR)
    registry.scan()
    assert registry.errors == {}
    loaded = [found for kind in ("task", "model") for found in registry.classes(kind).values()]
    classes = PluginSet(*loaded)
    model = helpers.model_spec("ConvVAE").model_copy(
        update={"architecture": "LinearAutoencoder", "params": {}}
    )
    tasks = [helpers.task("reconstruction", weight=10.0), helpers.task("classification", factor="digit")]
    datasets = {"data": dataset}
    _, sink = helpers.run(helpers.job(datasets, tasks, model=model, steps=150, lr=1e-2), datasets, classes)
    total = sink.history()["total"]
    assert total[-10:].mean() < 0.5 * np.float32(total[0])
    assert "class LinearAutoencoder(Model)" in sink.last.header.plugins["LinearAutoencoder"]["source"]
    result = evaluate_checkpoint(sink.last.checkpoint(), datasets, classes)
    accuracy = next(metric.value for metric in result.metrics if metric.name == "accuracy")
    assert accuracy is not None
    assert accuracy > 0.9

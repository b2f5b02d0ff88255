"""A step on a GPU: it waits for nothing, and one that is no finite number changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acc.tests import helpers
from acc.tests.test_skipped_steps import OPTIMIZERS, breaking, spec_on
from acc.training.step import Updates
from tests.gpu.machine import GPU, NEEDS_GPU

pytestmark = [NEEDS_GPU, pytest.mark.timeout(600)]
FIRST_STEPS = 8
"""In which kernels are loaded, states are made, passes compiled and graphs recorded."""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "grad_clip_norm": 1.0},
        {"on_nan": "skip"},
        {"accumulate": 2},
        {"channels_last": True},
        {"schedule": "sampled"},
        {"precision": "bf16"},
        {"precision": "fp16", "grad_clip_norm": 1.0},
        {"compile": "default"},
        {"compile": "reduce-overhead"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_step_does_not_wait_for_the_gpu(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """What waits raises, and so shows where. Row numbers come from the host, those of 64 batches at once."""
    make, watched = Updates.make, 0

    def watched_make(self: Updates, plan: Any, lr: float, step: int, clip: float | None) -> Any:
        nonlocal watched
        if step < FIRST_STEPS:
            return make(self, plan, lr, step, clip)
        torch.cuda.set_sync_debug_mode("error")
        try:
            watched += 1
            return make(self, plan, lr, step, clip)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Updates, "make", watched_make)
    data = {"data": helpers.blobs(120)}
    tasks = [*helpers.all_tasks(), helpers.task("LeakageTask", key="leakage", weight=0.3)]
    helpers.run(helpers.job(data, tasks, steps=FIRST_STEPS + 80, device=GPU, **options), data)
    assert watched == 80


@pytest.mark.parametrize("how", ["loss", "gradient"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_broken_step_changes_no_weight_and_no_moment(optimizer: str, how: str) -> None:
    data = {"data": helpers.blobs(120)}
    spec = spec_on(data, optimizer=optimizer, lr=1e-3, checkpoint_every_steps=1, device=GPU)
    trainer, sink = helpers.run(spec, data, breaking(range(6, 8), how))
    before, after, later = (sink.at(step).tensors for step in (6, 8, 9))
    learnt = [name for name in before if name.startswith(("model.", "optim."))]
    assert not [name for name in learnt if not torch.equal(before[name], after[name])]
    assert all(torch.isfinite(later[name]).all() for name in learnt)
    assert any(not torch.equal(after[name], later[name]) for name in learnt)
    assert trainer.skipped == 2


@pytest.mark.parametrize("clip", [None, 1.0])
def test_fp16_leaves_out_steps_whose_scale_is_too_large_and_scales_down(clip: float | None) -> None:
    data = {"data": helpers.blobs(120)}
    spec = helpers.job(data, steps=20, precision="fp16", grad_clip_norm=clip, lr=1e-3, device=GPU)
    _, sink = helpers.run(helpers.job(data, steps=1, precision="fp16", device=GPU), data)
    tensors = {**sink.last.tensors, "scaler.scale": torch.tensor(2.0**30), "scaler.growth": torch.tensor(0)}
    start = sink.last.checkpoint().__class__(sink.last.header, tensors, "")
    trainer, later = helpers.run(spec, data, start_from=start)
    norms = later.history()["grad_norm"]
    assert 0 < trainer.skipped < 20
    assert (~np.isfinite(norms)).sum() == trainer.skipped
    assert float(later.last.tensors["scaler.scale"]) == 2.0 ** (30 - trainer.skipped)
    assert all(torch.isfinite(tensor).all() for tensor in later.last.checkpoint().part("model").values())
    assert not later.alarms

"""A step asks its device nothing and sends it nothing: on a GPU each time would let it stand idle.

Tensors of the device ``meta`` have no values. What needs one raises, as what mixes devices does, so a whole step on
it shows both where there is no GPU; ``tests/gpu`` looks at the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from acc.data import AccDataset
from acc.errors import PluginFailed
from acc.specs import TaskSpec
from acc.tests import helpers
from acc.training.devices import DeviceManager
from acc.training.settings import torch_settings
from acc.training.trainer import Trainer

SENDING = {torch.tensor, torch.as_tensor, torch.from_numpy}
LEAKAGE = helpers.task("LeakageTask", key="leakage", weight=0.3)


class Listening(TorchFunctionMode):
    """Notes each call that makes a tensor of numbers of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in SENDING:
            self.sent.append(func.__name__)
        return func(*args, **(kwargs or {}))


def sent_in_a_step(dataset: AccDataset, tasks: Sequence[TaskSpec], **options: Any) -> list[str]:
    spec = helpers.job({"data": dataset}, tasks, **options)
    trainer = Trainer(spec, {"data": dataset}, classes=helpers.shipped_tasks(), device="meta")
    listening = Listening()
    with torch_settings(trainer.device, 1), trainer.state.updates.installed():
        trainer.state.replan()
        trainer.begin_block()
        for _ in range(2):  # tasks are looked at, and the optimizer's state is made, at the first
            with listening:
                listening.sent.clear()
                trainer.make_step()
    return listening.sent


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeviceManager, "resolve", lambda self, wanted: wanted)
    monkeypatch.setattr("acc.training.trainer.measure_baseline", lambda *_: None)  # it reads values, once


@pytest.mark.usefixtures("meta")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "channels_last": True, "grad_clip_norm": 1.0},
        {"accumulate": 2, "grad_clip_norm": 1.0},
        {"schedule": "sampled"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_step_with_every_shipped_loss(dataset: AccDataset, options: dict[str, Any]) -> None:
    assert not sent_in_a_step(dataset, [*helpers.all_tasks(), LEAKAGE], **options)


@pytest.mark.usefixtures("meta")
@pytest.mark.parametrize(
    ("architecture", "params"),
    [
        ("ConvVAE", {}),
        ("Autoencoder", {}),
        ("FactorSlotAutoencoder", {"bottleneck": "spatial"}),
        ("FactorSlotAutoencoder", {"shield_factors": True}),
    ],
)
def test_a_step_of_every_architecture(dataset: AccDataset, architecture: str, params: dict[str, Any]) -> None:
    tasks = [task for task in helpers.all_tasks() if architecture != "Autoencoder" or task.key != "kl"]
    assert not sent_in_a_step(dataset, tasks, model=helpers.model_spec(architecture, params=params))


@pytest.mark.usefixtures("meta")
def test_a_task_that_asks_is_noticed(dataset: AccDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = helpers.shipped_tasks()
    reconstruction = classes.task("ReconstructionTask")
    plain = reconstruction.compute_loss

    def curious(self: Any, output: Any, batch: Any, head: Any) -> Any:
        loss = plain(self, output, batch, head)
        return loss if float(loss.detach()) > 0 else -loss

    monkeypatch.setattr(reconstruction, "compute_loss", curious)
    with pytest.raises(PluginFailed, match="meta"):
        sent_in_a_step(dataset, [helpers.task("reconstruction")])

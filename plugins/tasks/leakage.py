"""Leakage: keeps each task's label out of the places of the other factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import Batch, JointTask, ModelOutput, Param, Sums, TargetTask, TaskView, TrainSpec

LEAST_SPREAD = 1e-6  # of a latent's or label's variance: less is nothing that could be correlated


class LeakageTask(JointTask):
    """Squared correlation of each task's label with every latent dimension outside the task's own slot.

    Summed over those dimensions and over the tasks that read a label from a slot; a class label's is the share of
    a dimension's variance that lies between classes (eta squared). It uses only labels that the other tasks
    have, each on the batch of its own dataset, and acts on posterior means. The weight rises over the first
    part of the job.

    Metrics on held-out rows: the mean over tasks and foreign dimensions, and the largest single value.
    """

    label = "Leakage"
    reads_whole_latent = True
    metrics = {"mean_leak": False, "largest_leak": False}
    thresholds = {"loss": None, "mean_leak": (0.1, 0.03), "largest_leak": (0.3, 0.1)}

    ramp = Param(0.3, min=0, max=1, help="part of the job's steps in which the weight rises from 0")

    def compute_joint_loss(self, own: TaskView, others: Sequence[TaskView], head: nn.Module | None) -> Tensor:
        """Return the summed squared correlations; 0 if there is none."""
        leaks = [_squared_correlation(sums).sum() for sums in _moments(others)]
        if not leaks:
            return own.output.posterior_mean.sum() * 0.0
        return torch.stack(leaks).sum()

    def weight_scale(self, step: int, train: TrainSpec) -> float:
        """Return the part of the weight at the task's update ``step``: rising, then 1."""
        rise = self.ramp * train.steps
        return min(1.0, (step + 1) / rise) if rise else 1.0

    def evaluate_joint(self, own: TaskView, others: Sequence[TaskView]) -> Sums:
        """Return the moments of labels and foreign dimensions, for each task."""
        return {
            f"{view.task.key} {name}": value.detach()
            for view, moments in zip(_labelled(others), _moments(others), strict=True)
            for name, value in moments.items()
        }

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return mean and largest squared correlation over tasks and foreign dimensions."""
        by_task: dict[str, dict[str, Tensor]] = {}
        for name, value in sums.items():
            key, _, moment = name.rpartition(" ")
            by_task.setdefault(key, {})[moment] = value
        leaks = [_squared_correlation(moments) for moments in by_task.values()]
        if not leaks:
            return dict.fromkeys(self.metrics, "no other task reads a label from a slot of its own")
        return {
            "mean_leak": float(torch.stack([leak.mean() for leak in leaks]).mean()),
            "largest_leak": float(torch.stack([leak.max() for leak in leaks]).max()),
        }

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return nothing: alone, there is no label to leak."""
        return {}


def _labelled(views: Sequence[TaskView]) -> list[TaskView]:
    """Return what is seen by tasks that read a label from a part of the latent."""
    return [
        view
        for view in views
        if isinstance(view.task, TargetTask)
        and view.task.latent_range != (0, view.output.posterior_mean.shape[1])
    ]


def _moments(views: Sequence[TaskView]) -> list[dict[str, Tensor]]:
    """Return sums over the rows of each labelled task, from which correlations follow.

    n ``()``; z, zz ``(W,)`` of the W foreign dimensions; y, yy ``(K,)`` and yz ``(K, W)`` of the label as K
    columns: one real value, or one indicator for each class.
    """
    found = []
    for view in _labelled(views):
        task, z = view.task, view.output.posterior_mean
        assert isinstance(task, TargetTask)
        start, end = task.latent_range
        foreign = torch.cat([z[:, :start], z[:, end:]], dim=1)
        label = task.target_values(view.batch)
        real = task.column.kind == "real"
        y = label[:, None] if real else F.one_hot(label, task.column.classes or 0)
        y = y.to(z.dtype)
        found.append(
            {
                "n": torch.full((), float(len(z)), device=z.device),
                "z": foreign.sum(0),
                "zz": foreign.square().sum(0),
                "y": y.sum(0),
                "yy": y.square().sum(0),
                "yz": y.T @ foreign,
            }
        )
    return found


def _squared_correlation(sums: Mapping[str, Tensor]) -> Tensor:
    """Return the share of each foreign dimension's variance ``(W,)`` that the label explains, 0..1."""
    n = sums["n"]
    z_variance = sums["zz"] / n - (sums["z"] / n).square()
    covariance = sums["yz"] / n - sums["y"][:, None] * sums["z"] / n.square()
    # Of class indicators the mean square is the class's share; of a real value it is its variance that counts.
    one = len(sums["y"]) == 1
    spread = sums["yy"] / n - (sums["y"] / n).square() if one else sums["y"] / n
    explained = (covariance.square() / spread.clamp(min=LEAST_SPREAD)[:, None]).sum(0)
    return explained / z_variance.clamp(min=LEAST_SPREAD)

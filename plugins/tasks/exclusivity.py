"""Exclusivity: whether what is known of a target stands in its own place alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import AccDataset, Batch, EvaluationTask, Model, ModelOutput, Sums, TargetSpec, TaskError


class ExclusivityTask(EvaluationTask):
    """Of what single dimensions tell of a target, the part that its own factor group tells.

    For each target with the name of a factor group: the mean share of variance that the target explains (squared
    correlation, or eta squared for classes) in the group's dimensions, over the same plus that of all other
    dimensions. 1: no other dimension knows of it; .5: all know as much. ``exclusivity`` is the mean over
    targets, ``least_exclusive`` the lowest. A cheap look at what the UFR matrix measures properly.
    """

    label = "Exclusivity"
    reads_whole_latent = True
    metrics = {"exclusivity": True, "least_exclusive": True}
    thresholds = {"exclusivity": (0.75, 0.9), "least_exclusive": (0.6, 0.8)}

    columns: tuple[TargetSpec, ...]

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Also find the targets that have a group; raises TaskError (dataset) if there is none."""
        super().check_compatible(dataset, model)
        groups = [group.name for group in model.factor_groups]
        self.columns = tuple(column for column in dataset.target_specs if column.name in groups)
        if not self.columns:
            there = ", ".join(column.name for column in dataset.target_specs) or "none"
            raise TaskError(
                f"no target of this dataset ({there}) has the name of a factor group "
                f"({', '.join(groups) or 'none'})",
                field="dataset",
            )

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return the moments of the latent and of each target."""
        z = output.posterior_mean.double()
        sums: Sums = {"n": len(z), "z": z.sum(0), "zz": z.square().sum(0)}
        for column in self.columns:
            values = batch.targets[column.name]
            y = F.one_hot(values, column.classes or 0) if column.kind == "class" else values[:, None]
            y = y.double()
            sums |= {
                f"y {column.name}": y.sum(0),
                f"yy {column.name}": y.square().sum(0),
                f"yz {column.name}": y.T @ z,
            }
        return sums

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return mean and lowest exclusivity of the targets."""
        found = [share for column in self.columns if (share := self._share(column, sums)) is not None]
        if not found:
            return dict.fromkeys(
                self.metrics, "no latent dimension varies with a target, or none varies at all"
            )
        return {"exclusivity": sum(found) / len(found), "least_exclusive": min(found)}

    def _share(self, column: TargetSpec, sums: Mapping[str, Tensor]) -> float | None:
        n, mean_z = sums["n"], sums["z"] / sums["n"]
        mean_y = sums[f"y {column.name}"] / n
        z_variance = sums["zz"] / n - mean_z.square()
        covariance = sums[f"yz {column.name}"] / n - mean_y[:, None] * mean_z
        # Of class indicators the covariance is divided by the class's share, of a real target by its variance.
        real = column.kind == "real"
        scale = sums[f"yy {column.name}"] / n - mean_y.square() if real else mean_y
        there = scale > 1e-12
        if not bool(there.any()) or not bool(torch.isfinite(z_variance).all()):
            return None
        between = (covariance[there].square() / scale[there, None]).sum(0)
        alive = z_variance > 1e-9
        explained = torch.where(alive, between / z_variance.clamp(min=1e-9), 0.0)
        group = self.model.spec.group(column.name)
        own = explained[group.start : group.end].mean()
        others = torch.cat([explained[: group.start], explained[group.end :]])
        foreign = others.mean() if len(others) else own * 0
        total = float(own + foreign)
        return float(own) / total if total > 1e-9 else None

"""Classification: a head reads a class label from the latent."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import AccDataset, Baseline, Batch, ModelOutput, Sums, TargetTask, TrainingRows


class ClassificationTask(TargetTask):
    """Cross-entropy of a class target, in nats.

    Metrics: accuracy, and balanced accuracy (the mean of the accuracies of the classes that occur).
    """

    label = "Classification"
    target = "class"
    metrics = {"accuracy": True, "balanced_accuracy": True}
    thresholds = {"balanced_accuracy": (0.7, 0.9)}

    def build_head(self, in_dim: int, dataset: AccDataset) -> nn.Module:
        """Return ``(N, in_dim) -> (N, classes)`` logits."""
        return self.layers(in_dim, self.classes)

    @property
    def classes(self) -> int:
        """Number of classes of the target column."""
        assert self.column.classes is not None, "a class column says how many classes it has"
        return self.column.classes

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Tensor:
        """Return the mean cross-entropy over the batch."""
        assert head is not None
        return F.cross_entropy(head(self.latent(output)), self.target_values(batch))

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return per class how many there were and how many of them were right."""
        assert head is not None
        return self._sums(head(self.latent(output)).argmax(dim=1), self.target_values(batch))

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return both accuracies."""
        right, seen = sums["right"], sums["seen"]
        occurs = seen > 0
        return {
            "accuracy": float(right.sum() / seen.sum()),
            "balanced_accuracy": float((right[occurs] / seen[occurs]).mean()),
        }

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> Baseline:
        """Return the entropy of the class frequencies: the cross-entropy of always answering with them.

        Its metrics are of always naming the most frequent class of the training rows; the loss on held-out rows: of
        always answering with how frequent each class is among the training rows.
        """
        counts = torch.bincount(rows.target(self.column.name), minlength=self.classes)
        frequencies = counts.double() / counts.sum()
        entropy = float(torch.special.entr(frequencies).sum())
        words = f"always answering with how frequent each of {self.classes} classes is"
        if held_out is None:
            return Baseline(entropy, words)
        truth = self.target_values(held_out)
        sums = self._sums(counts.argmax().expand_as(truth), truth)
        metrics = self.summarise({name: torch.as_tensor(value) for name, value in sums.items()})
        loss = float(F.nll_loss(frequencies.log().expand(len(truth), -1), truth))
        return Baseline(entropy, words, metrics={"loss": loss, **metrics})

    def _sums(self, named: Tensor, truth: Tensor) -> Sums:
        right = truth[named == truth]
        return {
            "right": torch.bincount(right, minlength=self.classes).double(),
            "seen": torch.bincount(truth, minlength=self.classes).double(),
        }

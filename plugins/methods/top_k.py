"""Top-k sparse autoencoder on a layer: what a network says of an image, in a few of many words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import (
    AccDataset,
    Batch,
    DatasetSpec,
    Method,
    Model,
    ModelOutput,
    Paper,
    Param,
    Setup,
    StepContext,
    Sums,
    Task,
    TaskError,
)

AUXILIARY = 1 / 32  # weight of the loss of features that have died


class TopKAutoencoder(nn.Module):
    """One dense layer, of which the k largest outputs stay, and a dictionary of unit vectors.

    silent: images since each feature was last among the k. variance: of the first batch, summed over dimensions.
    """

    silent: Tensor
    variance: Tensor

    def __init__(self, wide_in: int, features: int, k: int) -> None:
        super().__init__()
        self.k = k
        words = F.normalize(torch.randn(features, wide_in), dim=1)
        self.words, self.inward = nn.Parameter(words), nn.Parameter(words.clone())
        self.threshold, self.centre = nn.Parameter(torch.zeros(features)), nn.Parameter(torch.zeros(wide_in))
        self.register_buffer("silent", torch.zeros(features))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def begin(self, x_NW: Tensor) -> None:
        """Take centre and variance from the first batch."""
        self.centre.copy_(x_NW.mean(0))
        self.variance.copy_((x_NW - self.centre).square().sum(1).mean().clamp(min=1e-12))

    def scores(self, x_NW: Tensor) -> Tensor:
        """Return how much each feature speaks, ``(N, features)``, before any is left out."""
        return (x_NW - self.centre) @ self.inward.T + self.threshold

    def largest(self, scores_NF: Tensor, k: int) -> Tensor:
        """Return the scores with all but the ``k`` largest of each row 0, and none below 0."""
        values, places = scores_NF.topk(k, dim=1)
        return torch.zeros_like(scores_NF).scatter(1, places, F.relu(values))

    def dictionary(self) -> Tensor:
        """Return the words ``(features, width)``, each of length 1."""
        return F.normalize(self.words, dim=1)


class _Reached(Exception):
    """The layer has given what is looked for; the rest of the pass is not needed."""


class TopKSparseTask(Task):
    """A sparse autoencoder on the activations of a layer, of whose features ``k`` are active (Gao et al. 2024).

    It learns from the activations and leaves the network as it is. Loss: squared error as a part of the activations'
    variance + 1/32 of what is left, said by features that have long been silent. A convolution's activations are
    averaged over places.

    Metrics on held-out images: active features of an image, the part of the variance that is explained, features that
    no image activates.
    """

    label = "Top-k sparse features"
    needs_whole_batch = True
    metrics = {"active": False, "explained": True, "silent_features": False}
    thresholds = {"loss": (0.5, 0.1), "explained": (0.5, 0.9)}

    layer = Param("", help="name of a module of the model, such as encoder.8; empty: the latent")
    features = Param(512, min=2, max=1_000_000, help="words of the dictionary")
    k = Param(32, min=1, max=100_000, help="features that are active for an image")
    dead_after = Param(
        10_000, min=1, max=1_000_000_000, unit="images", help="silent for so long counts as dead"
    )

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Also refuse a layer that the model does not have, and more active features than there are."""
        super().check_compatible(dataset, model)
        if self.k > self.features:
            raise TaskError(f"{self.k} features cannot be active of {self.features}", field="params.k")
        known = [name for name, _ in model.named_modules() if name]
        if self.layer and self.layer not in known:
            raise TaskError(
                f"{self.layer!r} is not a module of this model; it has: {', '.join(known)}",
                field="params.layer",
            )
        self.model = model

    def build_head(self, in_dim: int, dataset: AccDataset) -> nn.Module:
        """Return the sparse autoencoder, as wide as the layer."""
        if self.layer:
            x_BCHW = torch.zeros(2, *dataset.images.shape[1:], device=next(self.model.parameters()).device)
            in_dim = self._of_layer(self.model, x_BCHW).shape[1]
        return TopKAutoencoder(in_dim, self.features, self.k)

    def activations(self, output: ModelOutput, batch: Batch, model: Model) -> Tensor:
        """Return what the layer gives for the batch, ``(N, width)``, without a gradient."""
        return self._of_layer(model, batch.images) if self.layer else self.latent(output).detach()

    @torch.no_grad()
    def _of_layer(self, model: Model, x_BCHW: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def note(_module: nn.Module, _inputs: object, found: Tensor) -> None:
            seen.append(found)
            if not torch.compiler.is_compiling():  # a compiled pass is taken whole
                raise _Reached

        hook = model.get_submodule(self.layer).register_forward_hook(note)
        training = model.training
        model.eval()
        try:
            with suppress(_Reached):
                mean = model.posterior(x_BCHW)[0]
                if not seen:
                    model.decode_logits(mean)
        finally:
            hook.remove()
            model.train(training)
        if not seen or seen[0].shape[0] != len(x_BCHW):
            raise TaskError(f"the layer {self.layer!r} gives no row for each image", field="params.layer")
        found = seen[0]
        return found.flatten(2).mean(2) if found.dim() > 2 else found

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Mapping[str, Tensor]:
        """Return the errors of what the active features say, and of what dead ones say of the rest."""
        assert isinstance(head, TopKAutoencoder)
        x_NW = self.activations(output, batch, step.model)
        if self.training and step.step == 0:
            head.begin(x_NW)
        scores = head.scores(x_NW)
        active = head.largest(scores, self.k)
        words = head.dictionary()
        rest = x_NW - head.centre - active @ words
        dead = head.silent > self.dead_after
        most = min(self.features, max(1, x_NW.shape[1] // 2))
        told = head.largest(scores.masked_fill(~dead, 0.0), most) @ words
        if self.training:
            head.silent.add_(len(x_NW)).masked_fill_((active > 0).any(0), 0.0)
        left = rest.detach()
        auxiliary = (left - told).square().sum(1).mean() / head.variance * dead.any()
        return {"error": rest.square().sum(1).mean() / head.variance, "dead": auxiliary}

    part_weights = {"error": 1.0, "dead": AUXILIARY}

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums over the images."""
        assert isinstance(head, TopKAutoencoder)
        x_NW = self.activations(output, batch, self.model)
        active = head.largest(head.scores(x_NW), self.k)
        rest = x_NW - head.centre - active @ head.dictionary()
        return {
            "n": len(x_NW),
            "active": (active > 0).double().sum(),
            "by_feature": (active > 0).double().sum(0),
            "x": x_NW.double().sum(0),
            "xx": x_NW.double().square().sum(),
            "rest": rest.double().square().sum(),
        }

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return the metrics."""
        n = float(sums["n"])
        variance = float(sums["xx"]) / n - float((sums["x"] / n).square().sum())
        explained: float | str = (
            1 - float(sums["rest"]) / n / variance if variance > 0 else "the layer never varies"
        )
        return {
            "active": float(sums["active"]) / n,
            "explained": explained,
            "silent_features": float((sums["by_feature"] == 0).sum()),
        }


class TopKSAE(Method):
    """A VAE, and on one of its layers a sparse autoencoder that says what the layer says in ``k`` of many features.

    Loss of the VAE: reconstruction in nats of an image + KL; of the sparse autoencoder: see its task. The one learns
    nothing of the other.
    """

    label = "Top-k sparse autoencoder"
    paper = Paper(
        "Gao et al.", 2024, "Scaling and Evaluating Sparse Autoencoders", "ICLR 2025, arXiv:2406.04093"
    )

    layer = Param("encoder.9", help="name of a module of the Burgess VAE; empty: the latent")
    features = Param(2048, min=2, max=1_000_000, help="words of the dictionary")
    k = Param(32, min=1, max=100_000, help="features that are active for an image")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction, a KL divergence and the sparse autoencoder."""
        params = {"layer": self.layer, "features": self.features, "k": self.k}
        return Setup(
            architecture="BurgessVAE",
            tasks=(
                self.reconstruction(data),
                {"task_class": "KLDivergenceTask"},
                {"task_class": "TopKSparseTask", "params": params},
            ),
            train={"optimizer": "adam", "lr": 5e-4, "weight_decay": 0.0, "batch_size": 64},
        )

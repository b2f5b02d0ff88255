"""VQ-VAE: each place of the latent holds one of a few hundred learned vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import (
    AccDataset,
    Batch,
    DatasetSpec,
    Decoded,
    Method,
    Model,
    ModelOutput,
    ModelSpec,
    Paper,
    Param,
    Posterior,
    Setup,
    StepContext,
    Sums,
    Task,
    TaskError,
    TaskSpec,
)

SMOOTHING = 1e-5  # of the codes' counts, so that none is 0


class _Residual(nn.Module):
    """Returns x + a 3 x 3 and a 1 x 1 convolution, rectified before each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread, self.mix = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.relu(self.spread(F.relu(x_BCHW))))
        return x_BCHW + mixed


class VQAutoencoder(Model):
    """A convolutional autoencoder whose latent, a quarter of the image's sides, holds vectors of a codebook.

    latent_dim is the length of a vector. The codebook is moved by the task that comes with it (``CodebookTask``).
    """

    label = "VQ autoencoder"
    discrete = True
    channels = Param(128, min=1, max=1024, help="of the convolutions")
    book: Tensor
    used: Tensor
    sums: Tensor
    codes = Param(512, min=2, max=65_536, help="vectors of the codebook")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        image, width = spec.image, self.channels
        self.right, self.below = -image.width % 4, -image.height % 4
        blocks = [nn.Sequential(_Residual(width), _Residual(width), nn.ReLU()) for _ in range(2)]
        self.encoder = nn.Sequential(
            nn.Conv2d(image.channels, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            blocks[0],
            nn.Conv2d(width, spec.latent_dim, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(spec.latent_dim, width, 3, padding=1),
            blocks[1],
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, image.channels, 4, stride=2, padding=1),
        )
        book_KD = torch.empty(self.codes, spec.latent_dim).uniform_(-1, 1) / self.codes
        self.register_buffer("book", book_KD)
        self.register_buffer("used", torch.ones(self.codes))
        self.register_buffer("sums", book_KD.clone())

    def posterior(self, x_BCHW: Tensor) -> Posterior:
        """Return vectors ``(N, D, h, w)``; extras: ``encoded``, which they stand for, ``codes`` ``(N, h, w)``."""
        if self.right or self.below:
            x_BCHW = F.pad(x_BCHW, (0, self.right, 0, self.below), mode="replicate")
        encoded = self.encoder(x_BCHW).float()
        # In half precision codes that lie close would be taken for each other.
        with torch.no_grad(), torch.autocast(encoded.device.type, enabled=False):
            flat = encoded.permute(0, 2, 3, 1)
            codes = (self.book.square().sum(1) - 2 * flat @ self.book.T).argmin(3)
            vectors = self.book[codes].permute(0, 3, 1, 2)
        # The value is the vector's, the gradient goes straight through to the encoder.
        return Posterior(vectors + (encoded - encoded.detach()), extras={"encoded": encoded, "codes": codes})

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for vectors ``(N, D, h, w)``."""
        drawn = self.decoder(z)
        return Decoded(drawn[:, :, : self.spec.image.height, : self.spec.image.width])


class CodebookTask(Task):
    """Squared distance of encodings from their codes, and the codebook, which follows its encodings.

    The distance is summed over an image. Each code is an exponential moving average of what was encoded as it (van den
    Oord et al. 2017, appendix A.1).

    Metrics: perplexity, the number of codes that would be as hard to guess if all were as frequent, and codes in use.
    """

    label = "Codebook"
    needs_whole_batch = True
    metrics = {"perplexity": True, "codes_used": True}
    thresholds = {"loss": None}

    decay = Param(0.99, min=0, max=1, help="of the codebook's moving average")

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Also refuse a model without a codebook."""
        super().check_compatible(dataset, model)
        if not isinstance(getattr(model, "book", None), Tensor):
            raise TaskError(
                f"{type(self).__name__} needs a model with a codebook, such as VQAutoencoder; "
                f"{model.spec.architecture} has none",
                field="task_class",
            )

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Tensor:
        """Return the squared distance; move the codebook."""
        encoded = output.extras["encoded"]
        if self.training:
            flat_ND = encoded.detach().permute(0, 2, 3, 1).flatten(0, 2)
            if step.step == 0:
                self._begin(step.model, flat_ND, step.generator)
            else:
                self._follow(step.model, flat_ND, output.extras["codes"])
        return (encoded - output.z.detach()).square().flatten(1).sum(1).mean()

    @torch.no_grad()
    def _begin(self, model: Any, flat_ND: Tensor, generator: torch.Generator) -> None:
        """Put the codes where encodings are: one that lies far from all would never be used."""
        drawn = torch.randint(len(flat_ND), (len(model.book),), generator=generator, device=flat_ND.device)
        model.book.copy_(flat_ND[drawn])
        model.sums.copy_(model.book)

    @torch.no_grad()
    def _follow(self, model: Any, flat_ND: Tensor, codes: Tensor) -> None:
        hot_NK = F.one_hot(codes.flatten(), len(model.book)).to(flat_ND.dtype)
        model.used.lerp_(hot_NK.sum(0), 1 - self.decay)
        model.sums.lerp_(hot_NK.T @ flat_ND, 1 - self.decay)
        total = model.used.sum()
        smoothed = (model.used + SMOOTHING) / (total + len(model.used) * SMOOTHING) * total
        model.book.copy_(model.sums / smoothed[:, None])

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return how often each code was used."""
        codes = output.extras["codes"].flatten()
        return {"used": torch.bincount(codes, minlength=self.size).double(), "n": len(batch)}

    def attach(self, spec: TaskSpec, dataset: AccDataset, model: Model) -> None:
        """Also note the number of codes."""
        super().attach(spec, dataset, model)
        book: Any = model.book
        self.size = len(book)

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return perplexity and the number of codes in use."""
        share = sums["used"] / sums["used"].sum()
        return {
            "perplexity": float(torch.special.entr(share).sum().exp()),
            "codes_used": float((share > 0).sum()),
        }


class VQVAE(Method):
    """An autoencoder whose latent holds vectors of a codebook that is learned with it.

    Loss: squared error, summed over an image + commitment * squared distance of encodings from their codes, summed.
    Codebook size and channels are the architecture's.
    """

    label = "VQ-VAE"
    paper = Paper(
        "van den Oord, Vinyals & Kavukcuoglu",
        2017,
        "Neural Discrete Representation Learning",
        "NeurIPS 2017, arXiv:1711.00937",
    )

    commitment = Param(0.25, min=0, max=1000, help="how much encodings are drawn to their codes")
    decay = Param(0.99, min=0, max=1, help="of the codebook's moving average")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the VQ autoencoder with a reconstruction and the codebook."""
        return Setup(
            architecture="VQAutoencoder",
            latent_dim=64,
            tasks=(
                self.reconstruction(data, "mse"),
                {"task_class": "CodebookTask", "weight": self.commitment, "params": {"decay": self.decay}},
            ),
            train={"optimizer": "adam", "lr": 2e-4, "weight_decay": 0.0, "batch_size": 128},
        )

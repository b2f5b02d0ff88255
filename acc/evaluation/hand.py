"""A checkpoint's latent in the hand: where it begins, how far each axis reaches, and what the decoder draws of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc.draws import normal
from acc.errors import AccError, InvalidInput
from acc.evaluation import encoding
from acc.evaluation.metrics.directions import principal_direction
from acc.models import build
from acc.models.base import check_image
from acc.models.output import pool
from acc.places import describe
from acc.training.batch import Stored
from acc.training.checkpoints.files import Checkpoint
from acc.training.checkpoints.restore import load_model

if TYPE_CHECKING:
    from acc.data import AccDataset
    from acc.training.plugin_set import PluginSet

LOOKED_AT = 512
"""Images that are encoded to learn how far the latent reaches."""
SMALLEST_SPREAD = 1e-6
MAX_NUMBERS = 2**20
"""The most numbers of latents, and the most pixels of pictures, that one question may be about."""

Array32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class HandAxis:
    """A factor group as one slider: the first principal component of its latents, as a unit ``vector``.

    A latent's place on it is (projection on the vector - centre) / spread.
    """

    name: str
    start: int
    end: int
    vector: tuple[float, ...]
    centre: float
    spread: float


@dataclass(frozen=True)
class Reach:
    """How far the latent reaches. ``mean`` and ``spread`` of each dimension (D,), of all places of a spatial latent.

    shape: of one latent, ``(D,)`` or ``(D, h, w)``. image: channels, height, width. prior: whether a draw comes from
    the standard normal, which the model was told of; else from a normal of mean and spread. looked_at: in words, of
    which images mean and spread are.
    """

    shape: tuple[int, ...]
    image: tuple[int, int, int]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    axes: tuple[HandAxis, ...]
    prior: bool
    looked_at: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class LatentHand:
    """A checkpoint whose latent is moved and drawn, on the CPU and in eval mode.

    dataset: whose images tell how far the latent reaches; None where there is none any more. Raises CheckpointError,
    InvalidInput.
    """

    def __init__(self, checkpoint: Checkpoint, classes: PluginSet, dataset: AccDataset | None = None) -> None:
        self.job = checkpoint.header.spec
        self.model = build(self.job.model, classes.models)
        self.model.eval()
        load_model(self.model, checkpoint)
        self._own = {name: value.clone() for name, value in self.model.state_dict().items()}
        self._mixed: tuple[str, float] = ("", 0.0)
        with torch.inference_mode():
            self.reach = self._look(dataset)

    def draw(self, seed: int) -> Array32:
        """Return a latent drawn with ``seed``: of the prior, or of the latents that were looked at."""
        drawn = normal(seed, int(np.prod(self.reach.shape))).reshape(self.reach.shape)
        if not self.reach.prior:
            wide = (-1, *[1] * (len(self.reach.shape) - 1))
            drawn = np.reshape(self.reach.mean, wide) + np.reshape(self.reach.spread, wide) * drawn
        return drawn.astype(np.float32)

    def encode(self, dataset: AccDataset, row: int) -> tuple[Array32, Pixels]:
        """Return the latent (the posterior mean) of an image, and the image ``(C, H, W)`` as the model reads it.

        Raises InvalidInput (dataset, row).
        """
        check_image(self.model, dataset.images.shape[1:])
        if not 0 <= row < len(dataset):
            raise InvalidInput(
                {"row": f"{row} is no image of this dataset; choose one from 0 to {len(dataset) - 1}"}
            )
        with torch.inference_mode():
            images = Stored(dataset, torch.device("cpu")).batch(np.asarray([row])).images
            latent = self.model.encode(images).mean[0].float().numpy()
            return latent, encoding.to_pixels(images)[0].numpy()

    def decode(self, latents: Array32) -> Pixels:
        """Return what the decoder draws of latents ``(N, *shape)``, uint8 ``(N, C, H, W)``.

        Raises InvalidInput (latents) for a wrong shape or too many, (decoder) for what it cannot draw.
        """
        images = self.images(latents)
        if not torch.isfinite(images).all():
            raise InvalidInput({"decoder": f"{self._name} draws numbers that are not finite of this latent"})
        return encoding.to_pixels(images).numpy()

    def images(self, latents: Array32) -> Tensor:
        """Return what the decoder draws as numbers in 0..1, ``(N, C, H, W)``."""
        pixels = int(np.prod(self.reach.image))
        if latents.shape[1:] != self.reach.shape:
            raise InvalidInput(
                {
                    "latents": f"of shape {latents.shape[1:]}; this model's latent is of shape {self.reach.shape}"
                }
            )
        if max(latents.size, len(latents) * pixels) > MAX_NUMBERS and len(latents) > 1:
            most = max(1, MAX_NUMBERS // max(pixels, int(np.prod(self.reach.shape))))
            raise InvalidInput(
                {"latents": f"{len(latents)} pictures at once are too many; ask for {most} at most"}
            )
        try:
            with torch.inference_mode():
                return self.model.decode(torch.from_numpy(latents)).float()
        except AccError:
            raise
        except Exception as error:  # whatever a plugin raises
            raise InvalidInput(
                {"decoder": f"{self._name} cannot draw this latent: {describe(error)}"}
            ) from error

    def mix(self, name: str, other: Mapping[str, Tensor] | None, part: float) -> None:
        """Give the model its own weights with a ``part`` of those of another checkpoint, which goes by ``name``.

        other: None for its own weights alone. Raises InvalidInput (toward) if they are of another model.
        """
        part = part if other is not None else 0.0
        if self._mixed == (name, part) or (not part and not self._mixed[1]):
            return
        if other is not None and (
            other.keys() != self._own.keys()
            or any(other[key].shape != value.shape for key, value in self._own.items())
        ):
            raise InvalidInput(
                {"toward": "the two checkpoints are of different models, so there is nothing between them"}
            )
        state = {
            key: torch.lerp(value, other[key].to(value), part)
            if other is not None and value.is_floating_point()
            else value
            for key, value in self._own.items()
        }
        self.model.load_state_dict(state)
        self._mixed = (name, part)

    @property
    def _name(self) -> str:
        return type(self.model).__name__

    def _look(self, dataset: AccDataset | None) -> Reach:
        spec = self.job.model
        image = (spec.image.channels, spec.image.height, spec.image.width)
        if dataset is None or tuple(dataset.images.shape[1:]) != image:
            shape = tuple(self.model.encode(torch.zeros(1, *image)).mean.shape[1:])
            zeros, ones = (0.0,) * spec.latent_dim, (1.0,) * spec.latent_dim
            axes = self._axes(np.zeros((1, spec.latent_dim)), np.ones(spec.latent_dim))
            return Reach(shape, image, zeros, ones, axes, bool(self.model.has_posterior), "")
        rows, words = encoding.choose_rows(dataset, self.job, most=LOOKED_AT)
        parts = [
            self.model.encode(Stored(dataset, torch.device("cpu")).batch(part).images)
            for part in encoding.batches(rows)
        ]
        means = torch.cat([part.mean for part in parts]).float().nan_to_num(0.0)
        logvars = [part.logvar for part in parts if part.logvar is not None]
        noise_D = torch.zeros(spec.latent_dim)
        if logvars:
            noise_D = _by_dimension(torch.cat(logvars).float().exp().nan_to_num(0.0)).mean(dim=0)
        every = _by_dimension(means)
        spread_D = (every.var(dim=0, unbiased=False) + noise_D).sqrt()
        return Reach(
            tuple(means.shape[1:]),
            image,
            tuple(every.mean(dim=0).tolist()),
            tuple(_wide_enough(value) for value in spread_D.tolist()),
            self._axes(pool(means).double().numpy(), noise_D.double().numpy()),
            bool(logvars),
            f"{len(rows):,} images, {words}",
        )

    def _axes(self, z: NDArray[np.float64], noise_D: NDArray[np.float64]) -> tuple[HandAxis, ...]:
        found = []
        for group in self.model.factor_groups:
            own = z[:, group.start : group.end]
            line = principal_direction(own) if len(own) > 1 else None
            vector = np.eye(group.width)[0] if line is None else line.vector
            along = own @ vector
            spread = float(np.sqrt(along.var() + (vector**2 * noise_D[group.start : group.end]).sum()))
            name, centre = group.name, float(along.mean())
            found.append(
                HandAxis(name, group.start, group.end, tuple(vector.tolist()), centre, _wide_enough(spread))
            )
        return tuple(found)


def _by_dimension(values: Tensor) -> Tensor:
    """Return ``(N, D)`` as it is, and ``(N, D, h, w)`` with all places in rows of their own."""
    return values.permute(0, 2, 3, 1).flatten(0, 2) if values.dim() == 4 else values


def _wide_enough(spread: float) -> float:
    """Return a spread that a slider can be made of."""
    return spread if spread > SMALLEST_SPREAD else 1.0

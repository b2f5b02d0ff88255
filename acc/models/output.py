"""What an encoded batch is: posterior, latent, and a reconstruction that is computed only if asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class LatentReader(Protocol):
    """Whatever reads the dimensions ``start, end`` of the latent, such as a Task."""

    latent_range: tuple[int, int]


class Decoded(NamedTuple):
    """What a decoder returns.

    logits: ``(N, C, H, W)``; ``sigmoid(logits)`` is the image in 0..1.
    attention: ``(N, F, h, w)``, how much each place read each factor slot (sums to 1 over F), or None.
    """

    logits: Tensor
    attention: Tensor | None = None


class LazyDecode:
    """A decoder call that runs at most once, and only if its result is asked for."""

    def __init__(self, decode: Callable[[Tensor], Decoded], z: Tensor) -> None:
        self._decode, self._z = decode, z
        self._decoded: Decoded | None = None
        self._image: Tensor | None = None

    def decoded(self) -> Decoded:
        """Return logits and attention of all rows."""
        if self._decoded is None:
            self._decoded = self._decode(self._z)
        return self._decoded

    def image(self) -> Tensor:
        """Return the images in 0..1 of all rows."""
        if self._image is None:
            self._image = torch.sigmoid(self.decoded().logits)
        return self._image


class ModelOutput:
    """An encoded batch of N images.

    mean, logvar: posterior ``(N, D)``, or ``(N, D, h, w)`` of a spatial latent; logvar may be None.
    z: what the decoder reads, of the same shape: a sample while training, the posterior mean in eval mode.
    latent: ``(N, D)``, ``z`` averaged over places; what task heads read. In eval mode the posterior mean.
    """

    def __init__(
        self,
        *,
        mean: Tensor,
        logvar: Tensor | None,
        z: Tensor,
        decode: LazyDecode,
        rows: slice | None = None,
    ) -> None:
        self.mean, self.logvar, self.z = mean, logvar, z
        self.latent = pool(z)
        self._decode, self._rows = decode, rows

    def __len__(self) -> int:
        return self.z.shape[0]

    @property
    def spatial(self) -> Tensor | None:
        """The latent as a map ``(N, D, h, w)``, or None when it has no places."""
        return self.z if self.z.dim() == 4 else None

    @property
    def posterior_mean(self) -> Tensor:
        """Posterior mean ``(N, D)``, averaged over places; never a sample."""
        return pool(self.mean)

    @property
    def logits(self) -> Tensor:
        """Reconstruction before the sigmoid, ``(N, C, H, W)``; runs the decoder if it has not run yet."""
        return self._own(self._decode.decoded().logits)

    @property
    def reconstruction(self) -> Tensor:
        """Reconstructed images ``(N, C, H, W)`` in 0..1; runs the decoder if it has not run yet."""
        return self._own(self._decode.image())

    @property
    def attention(self) -> Tensor | None:
        """Cross-attention ``(N, F, h, w)`` over the F factor slots, or None for a decoder without one."""
        attention = self._decode.decoded().attention
        return None if attention is None else self._own(attention)

    def latent_for(self, task: LatentReader) -> Tensor:
        """Return ``latent`` restricted to what the task reads, ``(N, width)``."""
        start, end = task.latent_range
        return self.latent if (start, end) == (0, self.latent.shape[1]) else self.latent[:, start:end]

    def split(self, sizes: Sequence[int], *, share: int | None = None) -> list[ModelOutput]:
        """Return one output for each run of ``sizes`` rows.

        The first ``share`` parts (default: all) share one decoder pass over their rows alone;
        each of the others would run its own, if it is asked to.
        """
        share = len(sizes) if share is None else share
        if len(sizes) == 1 and share == 1:
            return [self]
        together = sum(sizes[:share])
        everything = together == len(self)
        shared = self._decode if everything else LazyDecode(self._decode._decode, self._decode._z[:together])
        parts: list[ModelOutput] = []
        start = 0
        for number, size in enumerate(sizes):
            rows = slice(start, start + size)
            alone = number >= share
            decode = LazyDecode(self._decode._decode, self._decode._z[rows]) if alone else shared
            logvar = None if self.logvar is None else self.logvar[rows]
            parts.append(
                ModelOutput(
                    mean=self.mean[rows],
                    logvar=logvar,
                    z=self.z[rows],
                    decode=decode,
                    rows=None if alone else rows,
                )
            )
            start += size
        return parts

    def _own(self, decoded: Tensor) -> Tensor:
        return decoded if self._rows is None else decoded[self._rows]


def pool(z: Tensor) -> Tensor:
    """Return ``(N, D)``: a spatial latent ``(N, D, h, w)`` averaged over its places, any other as it is."""
    return z.mean(dim=(2, 3)) if z.dim() == 4 else z

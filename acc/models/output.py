"""What an encoded batch is: posterior, latent, and a reconstruction that is computed only if asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Extras = Mapping[str, Tensor]
NO_EXTRAS: Extras = {}


class LatentReader(Protocol):
    """Whatever reads the dimensions ``start, end`` of the latent, such as a Task."""

    latent_range: tuple[int, int]


class Posterior(NamedTuple):
    """What ``Model.posterior`` may return in place of ``(mean, logvar)``, where there is more to say.

    mean: ``(N, D)``, or ``(N, D, h, w)`` of a spatial latent; of discrete codes what they stand for.
    logvar: of the same shape, of a Gaussian; None of any other posterior, or of none.
    extras: name -> tensor ``(N, ...)``, a row for each image, as a commitment or the numbers of the codes.
    batch_wide: name -> tensor of any shape that is of the whole batch, as a codebook's use: every task sees all of it.
    z: what the decoder reads while training, of the shape of ``mean``, where the model draws it itself; None: a
    Gaussian's sample, or the mean.
    """

    mean: Tensor
    logvar: Tensor | None = None
    extras: Extras | None = None
    batch_wide: Extras | None = None
    z: Tensor | None = None


class Decoded(NamedTuple):
    """What a decoder returns.

    logits: ``(N, C, H, W)``; ``sigmoid(logits)`` is the image in 0..1.
    attention: ``(N, F, h, w)``, how much each place read each factor slot (sums to 1 over F), or None.
    extras: name -> tensor ``(N, ...)``, a row for each image, as a learned variance; ``ModelOutput.decoder_extras``.
    """

    logits: Tensor
    attention: Tensor | None = None
    extras: Extras | None = None


def posterior_of(given: Posterior | tuple[Tensor, Tensor | None]) -> Posterior:
    """Return what ``Model.posterior`` gave in the long form."""
    return given if isinstance(given, Posterior) else Posterior(*given)


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
    extras: what else the encoder gave by name: tensors of N rows, and those named in ``batch_wide``.
    """

    def __init__(
        self,
        *,
        mean: Tensor,
        logvar: Tensor | None,
        z: Tensor,
        decode: LazyDecode,
        rows: slice | None = None,
        extras: Extras = NO_EXTRAS,
        batch_wide: frozenset[str] = frozenset(),
    ) -> None:
        self.mean, self.logvar, self.z = mean, logvar, z
        self.extras, self.batch_wide = extras, batch_wide
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

    @property
    def decoder_extras(self) -> Extras:
        """What the decoder gave beside the image, by name, a row for each image; runs it if it has not run yet."""
        extras = self._decode.decoded().extras
        return NO_EXTRAS if extras is None else {name: self._own(value) for name, value in extras.items()}

    def each_row(self, change: Callable[[Tensor], Tensor]) -> Extras:
        """Return the extras with ``change`` made to those of rows; those of the whole batch stay as they are."""
        if not self.extras:
            return NO_EXTRAS
        return {
            name: value if name in self.batch_wide else change(value) for name, value in self.extras.items()
        }

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
                    extras=self.each_row(lambda value, rows=rows: value[rows]),  # type: ignore[misc]
                    batch_wide=self.batch_wide,
                )
            )
            start += size
        return parts

    def _own(self, decoded: Tensor) -> Tensor:
        return decoded if self._rows is None else decoded[self._rows]


def pool(z: Tensor) -> Tensor:
    """Return ``(N, D)``: a spatial latent ``(N, D, h, w)`` averaged over its places, any other as it is."""
    return z.mean(dim=(2, 3)) if z.dim() == 4 else z

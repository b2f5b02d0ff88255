"""Latents and factors made ready once: checked, standardised, put in canonical order, dealt into folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from acc.errors import InvalidInput
from acc.evaluation.metrics.inputs import ALL_DIMENSIONS, Factor, Groups, Kind, owners
from acc.evaluation.metrics.levels import context_levels

FOLDS = 4
INACTIVE_BELOW = 0.01  # of the largest spread
NUMERICAL_NOISE = 1e-7  # of a dimension's largest magnitude: float32 cannot say less
LARGEST_MAGNITUDE = 1e100  # its square is still a number


@dataclass(frozen=True, eq=False)
class Column:
    """A factor as tensors in canonical order.

    ``values`` (N,) float64 standardised for ``cont``, int64 codes for ``cat``; ``level`` (N,) its context
    level. A column with one value is dead: ``reason`` says so and it takes no part.
    """

    name: str
    kind: Kind
    values: Tensor
    classes: int
    level: Tensor
    level_names: tuple[str, ...]
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether the column varies."""
        return not self.reason


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that the metrics share. ``z`` (N, D) float64 is standardised; inactive dimensions are zero.

    Rows are sorted by factor levels, then values, then the latent's squared length, so that no result depends
    on the order in which samples came. ``own`` holds a group index or None for each column.
    """

    z: Tensor
    covariance: Tensor
    active: Tensor
    columns: tuple[Column, ...]
    groups: Groups | None
    own: tuple[int | None, ...]
    fold: Tensor
    seed: int
    notes: tuple[str, ...]

    @property
    def views(self) -> tuple[Tensor, ...]:
        """Dimensions of all (index 0), then of each group."""
        everything = torch.arange(self.z.shape[1], device=self.z.device)
        groups = self.groups.dims if self.groups else ()
        return (everything, *(torch.tensor(dims, device=self.z.device) for dims in groups))

    def parts(self, rows: Tensor) -> list[Tensor]:
        """Return each view's columns of ``rows`` (N, D); neighbouring columns are not copied."""
        groups = self.groups.dims if self.groups else ()
        runs = [dims == tuple(range(dims[0], dims[-1] + 1)) for dims in groups]
        return [rows] + [
            rows[:, dims[0] : dims[-1] + 1] if run else rows[:, list(dims)]
            for dims, run in zip(groups, runs, strict=True)
        ]

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of the views: ``*`` and the groups."""
        return (ALL_DIMENSIONS, *(self.groups.names if self.groups else ()))

    @property
    def alive(self) -> tuple[int, ...]:
        """Indices of the columns that vary."""
        return tuple(i for i, column in enumerate(self.columns) if column.alive)

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        """Row indices to fit on and to test on, for the metrics with one held-out half."""
        return (self.fold < FOLDS // 2).nonzero()[:, 0], (self.fold >= FOLDS // 2).nonzero()[:, 0]

    @property
    def no_groups(self) -> str:
        """Why group metrics are undefined, or empty."""
        return "" if self.groups else "the model has no factor groups; only per-dimension values are defined"

    @property
    def too_few(self) -> str:
        """Why nothing can be held out, or empty."""
        n = len(self.z)
        return "" if n >= 5 * FOLDS else f"{n} samples are too few; at least {5 * FOLDS} are needed"

    def rng(self, stream: int) -> np.random.Generator:
        """Return the generator of one purpose; purposes do not disturb each other."""
        return np.random.default_rng([self.seed, stream])


def prepare(
    latents: Tensor | ArrayLike,
    factors: Sequence[Factor],
    groups: Groups | Mapping[str, tuple[int, int]] | None = None,
    own: Mapping[str, str] | None = None,
    *,
    seed: int,
) -> Prepared:
    """Return the shared input of all metrics, on the device the latents are on.

    latents (N, D) posterior means; a latent with any value that is not finite counts as carrying nothing.
    Raises InvalidInput for wrong shapes, names or lengths.
    """
    raw = _matrix(latents)
    if groups is not None and not isinstance(groups, Groups):
        groups = Groups.ranges(groups)
    _check(raw, factors, groups)
    notes: list[str] = []
    finite = raw.abs() < LARGEST_MAGNITUDE
    if not bool(finite.all()):
        dims = (~finite).any(0).nonzero()[:, 0].tolist()
        shown = ", ".join(map(str, dims[:8])) + (", ..." if len(dims) > 8 else "")
        notes.append(
            f"{int((~finite).sum())} latent values are not finite (dimensions {shown}); "
            "such a representation counts as carrying nothing"
        )
        raw = torch.zeros_like(raw)
    z, covariance, active = _standardise(raw)
    if not notes and not bool(active.any()):
        notes.append("all latent dimensions are constant; the representation carries nothing")
    levels = [context_levels(factor) for factor in factors]
    order = _canonical_order(z, factors, [codes for codes, _ in levels])
    on_device = torch.from_numpy(order).to(z.device)
    rng = np.random.default_rng([seed, 0])
    blocks = np.tile(np.arange(FOLDS), (-(-len(order) // FOLDS), 1))
    fold = rng.permuted(blocks, axis=1).ravel()[: len(order)]
    return Prepared(
        z=z[on_device],
        covariance=covariance,
        active=active,
        columns=tuple(
            _column(factor, codes, names, order, z.device)
            for factor, (codes, names) in zip(factors, levels, strict=True)
        ),
        groups=groups,
        own=owners(factors, groups, own),
        fold=torch.from_numpy(fold).to(z.device),
        seed=seed,
        notes=tuple(notes),
    )


def _matrix(latents: Tensor | ArrayLike) -> Tensor:
    tensor = (
        latents.detach()
        if isinstance(latents, Tensor)
        else torch.from_numpy(np.array(latents, dtype=np.float64))
    )
    if tensor.ndim != 2 or tensor.shape[0] < 2 or tensor.shape[1] < 1:
        raise InvalidInput(
            {"latents": f"latents have shape {tuple(tensor.shape)}; (samples >= 2, dimensions) is needed"}
        )
    return tensor.to(torch.float64)


def _check(raw: Tensor, factors: Sequence[Factor], groups: Groups | None) -> None:
    names = [factor.name for factor in factors]
    if len(set(names)) != len(names):
        raise InvalidInput({"factors": f"factor names must differ; got {', '.join(names)}"})
    for factor in factors:
        if len(factor.values) != len(raw):
            raise InvalidInput(
                {"factors": f"factor '{factor.name}' has {len(factor.values)} values for {len(raw)} latents"}
            )
    if groups is not None:
        groups.check_fits(raw.shape[1])


def _standardise(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return standardised latents, the raw covariance (D, D), and which dimensions are active (D,)."""
    centred = raw - raw.mean(0)
    covariance = centred.T @ centred / len(raw)
    spread = covariance.diagonal().clamp(min=0).sqrt()
    alive = spread > NUMERICAL_NOISE * raw.abs().amax(0)
    active = alive & (spread >= INACTIVE_BELOW * torch.where(alive, spread, 0.0).max())
    covariance = torch.where(alive[:, None] & alive[None, :], covariance, 0.0)
    return torch.where(active, centred / torch.where(active, spread, 1.0), 0.0), covariance, active


def _canonical_order(
    z: Tensor, factors: Sequence[Factor], levels: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    energy = z.square().sum(1).cpu().numpy()
    values = [np.unique(factor.values, return_inverse=True)[1] for factor in factors]
    keys = [*levels, *values, energy]
    return np.lexsort(keys[::-1]).astype(np.int64)


def _column(
    factor: Factor,
    codes: NDArray[np.int64],
    names: tuple[str, ...],
    order: NDArray[np.int64],
    device: torch.device,
) -> Column:
    distinct, indices = np.unique(factor.values, return_inverse=True)
    reason = (
        ""
        if len(distinct) > 1
        else f"'{factor.name}' has one value, {distinct[0]!s}, in all {len(order)} samples"
    )
    if factor.kind == "cat":
        values = torch.from_numpy(indices.astype(np.int64)[order])
    else:
        real = factor.values.astype(np.float64)[order]
        values = torch.from_numpy((real - real.mean()) / (real.std() if len(distinct) > 1 else 1.0))
    return Column(
        name=factor.name,
        kind=factor.kind,
        values=values.to(device),
        classes=len(distinct) if factor.kind == "cat" else 1,
        level=torch.from_numpy(codes[order]).to(device),
        level_names=names,
        reason=reason,
    )

"""Latents and factors made ready once: checked, standardised, put in canonical order, dealt into folds and groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from acc.errors import InvalidInput
from acc.evaluation.metrics.inputs import ALL_DIMENSIONS, Factor, Groups, Kind, owners
from acc.evaluation.metrics.jackknife import GROUPS, Deal, deal
from acc.evaluation.metrics.levels import context_levels

Made = TypeVar("Made")
FOLDS = 4
MIN_SAMPLES = 20  # of a whole representation, and of a context level
INACTIVE_BELOW = 0.01  # of the largest spread
TRIMMED = 0.005  # of the samples at either end, left out of the range that says what lies far out
FAR_OUT = 3.0  # times that range beyond it: 18 standard deviations of a normal distribution
REST = "rest"
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
        return not self.reason


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that the metrics share. ``z`` (N, D) float64 is standardised; inactive dimensions are zero.

    Rows are sorted by factor levels, then values, then units where there are any, then the latent's squared
    length, so that no result depends on the order in which samples came. ``raw`` (N, D) are the centred latents
    in their own units. ``own`` holds a group index or None for each column, ``declared`` how many groups were
    declared: one more, the rest, holds the dimensions that no group names. ``dealt`` are the groups of samples
    that the jackknife leaves out. ``nothing`` says why the representation carries nothing, or is empty. ``whole`` is
    the input that this one is a part of, if it is one, and ``kept`` (N,) its rows of that: see ``once``.
    """

    z: Tensor
    raw: Tensor
    active: Tensor
    columns: tuple[Column, ...]
    groups: Groups | None
    declared: int
    own: tuple[int | None, ...]
    fold: Tensor
    unit: Tensor
    units: int
    dealt: Deal
    seed: int
    nothing: str
    notes: tuple[str, ...]
    whole: Prepared | None = None
    kept: Tensor | None = None
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def covariance(self) -> Tensor:
        """Covariance (D, D) of the latents in their own units."""
        centred = self.raw - self.raw.mean(0)
        return centred.T @ centred / len(centred)

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
        if n < MIN_SAMPLES:
            return f"{n} samples are too few; at least {MIN_SAMPLES} are needed"
        if self.units < FOLDS:
            return f"{self.units} units are too few; folds keep units whole, and {FOLDS} are needed"
        return ""

    @property
    def no_factor(self) -> str:
        """Why no metric with labels is defined, or empty: too few samples, or no factor that varies."""
        return self.too_few or ("" if self.alive else "no factor varies")

    def dealt_into(self, groups: int) -> Prepared:
        """Return this input with another number of groups for the jackknife; 0: no intervals."""
        return replace(self, dealt=deal(self.unit, self.units, self.seed, groups))

    def without(self, group: int) -> Prepared:
        """Return this input without the samples of one group of the jackknife; nothing is standardised again."""
        kept = (self.dealt.group != group).nonzero()[:, 0]
        columns = tuple(
            replace(each, values=each.values[kept], level=each.level[kept]) for each in self.columns
        )
        return replace(
            self,
            z=self.z[kept],
            raw=self.raw[kept],
            columns=columns,
            fold=self.fold[kept],
            whole=self.whole or self,
            kept=kept,
        )

    def once(self, name: str, make: Callable[[Prepared], Made]) -> Made:
        """Return what ``make`` makes of all samples, whichever group of them is left out here.

        For what must not follow a group: bins, whose edges would carry rows to and fro by chance, and probes that are
        tested on other samples of the kind that they were fitted on. Parts of one whole share what was made.
        """
        if self.whole is None:
            return make(self)
        if name not in self.whole._made:
            self.whole._made[name] = make(self.whole)
        found: Made = self.whole._made[name]
        return found

    def rows_of(self, whole: Tensor) -> Tensor:
        """Return the rows that are here of what was made ``once`` of all samples, (all, ...) -> (N, ...)."""
        return whole if self.kept is None else whole[self.kept]

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
    units: ArrayLike | None = None,
    resamples: int = GROUPS,
) -> Prepared:
    """Return the shared input of all metrics, on the device the latents are on.

    latents (N, D) posterior means; a latent with any value that is not finite counts as carrying nothing.
    units (N,) integers: rows of the same number belong together, and are never divided between folds or groups
    of samples; None: each row is its own. resamples: how many groups of samples the jackknife leaves out, one after
    the other; 0: no intervals. Raises InvalidInput for wrong shapes, names or lengths.
    """
    raw = _matrix(latents)
    if groups is not None and not isinstance(groups, Groups):
        groups = Groups.ranges(groups)
    _check(raw, factors, groups)
    numbers = _units(units, len(raw))
    nothing = _not_finite(raw)
    if nothing:
        raw = torch.zeros_like(raw)
    low, high = _ends(raw)
    raw, notes = _without_far_values(raw, low, high)
    largest = raw.abs().amax(0)
    raw, z, active, inactive = _standardise(raw - raw.mean(0), largest, high > low)
    if not nothing and not bool(active.any()):
        nothing = "all latent dimensions are constant; the representation carries nothing"
    if inactive and not nothing:
        notes.append(inactive)
    held_by = owners(factors, groups, own)
    declared = len(groups.names) if groups else 0
    groups, rest = _with_rest(groups, active)
    notes += [note for note in (rest, _shared(factors, groups, held_by, declared)) if note]
    levels = [context_levels(factor) for factor in factors]
    order = _canonical_order(z, factors, [codes for codes, _ in levels], numbers)
    on_device = torch.from_numpy(order).to(z.device)
    unit, count = _codes(numbers[order] if numbers is not None else np.arange(len(order)))
    of_unit = torch.from_numpy(unit).to(z.device)
    dealt = deal(of_unit, count, seed, resamples)
    if dealt.note and resamples:
        notes.append(dealt.note)
    rng = np.random.default_rng([seed, 0])
    blocks = np.tile(np.arange(FOLDS), (-(-count // FOLDS), 1))
    fold = rng.permuted(blocks, axis=1).ravel()[:count][unit]
    return Prepared(
        z=z[on_device],
        raw=raw[on_device],
        active=active,
        columns=tuple(
            _column(factor, codes, names, order, z.device)
            for factor, (codes, names) in zip(factors, levels, strict=True)
        ),
        groups=groups,
        declared=declared,
        own=held_by,
        fold=torch.from_numpy(fold).to(z.device),
        unit=of_unit,
        units=count,
        dealt=dealt,
        seed=seed,
        nothing=nothing,
        notes=tuple([nothing] if nothing else []) + tuple(notes),
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


def _units(units: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    if units is None:
        return None
    numbers = np.asarray(units)
    if numbers.shape != (n,) or not np.issubdtype(numbers.dtype, np.integer):
        raise InvalidInput(
            units=f"units have shape {numbers.shape} and type {numbers.dtype}; "
            f"a whole number for each of the {n} latents is needed"
        )
    return numbers.astype(np.int64)


def _codes(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return for each row the place of its unit by first appearance, and how many units there are."""
    _, first, codes = np.unique(numbers, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[codes], len(first)


def _not_finite(raw: Tensor) -> str:
    finite = raw.abs() < LARGEST_MAGNITUDE
    if bool(finite.all()):
        return ""
    return (
        f"{int((~finite).sum())} latent values are not finite (dimensions {_listed(~finite)}); "
        "such a representation counts as carrying nothing"
    )


def _ends(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each dimension what all but the outermost samples lie between; of few samples all of them."""
    k = max(1, int(TRIMMED * len(raw))) if len(raw) >= MIN_SAMPLES else 0
    ordered = raw.sort(dim=0).values
    return ordered[k], ordered[len(raw) - 1 - k]


def _without_far_values(raw: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, list[str]]:
    """Return latents with values that lie far out brought to where far out begins, and a note if there are any.

    Far out is more than three times the range of the inner 99 % beyond it, which a single value cannot stretch. A
    dimension that is constant within that range is left as it is.
    """
    reach = torch.where(high > low, FAR_OUT * (high - low), torch.inf)
    least, most = low - reach, high + reach
    far = (raw < least) | (raw > most)
    if not bool(far.any()):
        return raw, []
    many = int(far.sum())
    lie, count = ("lies", "it counts") if many == 1 else ("lie", "they count")
    note = (
        f"{many:,} latent value{'s' if many > 1 else ''} {lie} far out, more than {FAR_OUT:g} times the range of the "
        f"inner {1 - 2 * TRIMMED:.0%} beyond it (dimensions {_listed(far)}); {count} as if {count.split()[0]} lay there"
    )
    return torch.maximum(torch.minimum(raw, most), least), [note]


def _listed(where: Tensor) -> str:
    """Return the dimensions in which anything is marked; where (N, D)."""
    dims = where.any(0).nonzero()[:, 0].tolist()
    return ", ".join(map(str, dims[:8])) + (", ..." if len(dims) > 8 else "")


def _standardise(centred: Tensor, largest: Tensor, usual: Tensor) -> tuple[Tensor, Tensor, Tensor, str]:
    """Return latents centred and standardised, which dimensions are active (D,), and a note if some are not.

    ``largest`` (D,) magnitude before centring; ``usual`` (D,): dimensions that vary in more than a few samples: the
    others do not set the measure.
    """
    spread = centred.square().mean(0).sqrt()
    alive = spread > NUMERICAL_NOISE * largest
    measured = alive & usual if bool((alive & usual).any()) else alive
    active = alive & (spread >= INACTIVE_BELOW * torch.where(measured, spread, 0.0).max())
    inactive = int((~active).sum())
    note = (
        f"{inactive} of {len(active)} dimensions are inactive: their spread is under "
        f"{INACTIVE_BELOW:.0%} of the largest, and they count as constant"
    )
    z = torch.where(active, centred / torch.where(active, spread, 1.0), 0.0)
    return torch.where(alive, centred, 0.0), z, active, note if inactive else ""


def _with_rest(groups: Groups | None, active: Tensor) -> tuple[Groups | None, str]:
    """Return the groups, one more of them with the active dimensions that none names, and a note if there is one."""
    if groups is None:
        return None, ""
    named = {dim for dims in groups.dims for dim in dims}
    left = tuple(dim for dim in active.nonzero()[:, 0].tolist() if dim not in named)
    if not left:
        return groups, ""
    name = next(name for name in (REST, *(f"{REST} {n}" for n in range(2, 99))) if name not in groups.names)
    many = f"{len(left)} active dimension{'s' if len(left) > 1 else ''}"
    return Groups((*groups.names, name), (*groups.dims, left)), (
        f"{many} in no group: they are one more group, '{name}', and what is read from it is a leak"
    )


def _shared(
    factors: Sequence[Factor], groups: Groups | None, own: Sequence[int | None], declared: int
) -> str:
    """Return a note if concepts share a group while another holds none, or empty."""
    if groups is None:
        return ""
    idle = [groups.names[g] for g in range(declared) if g not in own]
    for g in range(declared):
        here = [factor.name for factor, home in zip(factors, own, strict=True) if home == g]
        if len(here) > 1 and idle:
            shown = " and ".join(f"'{name}'" for name in here)
            return (
                f"{shown} share the group '{groups.names[g]}', which is not counted as a leak, while "
                f"'{idle[0]}' holds no concept: they are not told apart from each other"
            )
    return ""


def _canonical_order(
    z: Tensor,
    factors: Sequence[Factor],
    levels: Sequence[NDArray[np.int64]],
    units: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    energy = z.square().sum(1).cpu().numpy()
    values = [np.unique(factor.values, return_inverse=True)[1] for factor in factors]
    # Units before the latents: two representations of the same rows are then dealt alike, and can be paired.
    keys = [*levels, *values, *([units] if units is not None else []), energy]
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

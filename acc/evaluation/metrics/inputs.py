"""What a metric is given: named factor columns, named groups of latent dimensions, and who holds what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acc.errors import InvalidInput

Kind = Literal["cat", "cont"]
ALL_DIMENSIONS = "*"


@dataclass(frozen=True, eq=False)
class Factor:
    """A named target column: ``cat`` holds classes of any type, ``cont`` finite real numbers. values (N,)."""

    name: str
    values: NDArray[Any]
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in ("cat", "cont"):
            raise InvalidInput(factors=f"kind of factor '{self.name}' is {self.kind!r}; use 'cat' or 'cont'")
        if self.values.ndim != 1:
            raise InvalidInput(
                {"factors": f"factor '{self.name}' has shape {self.values.shape}; it must be one column (N,)"}
            )
        if self.values.dtype.kind == "f" and not np.isfinite(self.values).all():
            bad = int((~np.isfinite(self.values)).sum())
            raise InvalidInput(factors=f"factor '{self.name}' has {bad} values that are not finite numbers")

    @classmethod
    def cat(cls, name: str, values: ArrayLike) -> Self:
        """Return a column of classes."""
        return cls(name, np.asarray(values), "cat")

    @classmethod
    def cont(cls, name: str, values: ArrayLike) -> Self:
        """Return a column of real numbers."""
        return cls(name, np.asarray(values, dtype=np.float64), "cont")


@dataclass(frozen=True)
class Groups:
    """Named, disjoint sets of latent dimensions, in the order given."""

    names: tuple[str, ...]
    dims: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for name, dims in zip(self.names, self.dims, strict=True):
            if name == ALL_DIMENSIONS:
                raise InvalidInput({"groups": "'*' means all dimensions; give the group another name"})
            if not dims:
                raise InvalidInput({"groups": f"group '{name}' has no dimensions; give it at least one"})
            for dim in dims:
                if dim in taken:
                    raise InvalidInput(
                        groups=f"dimension {dim} is in '{taken[dim]}' and in '{name}'; groups must not overlap"
                    )
                taken[dim] = name
        if len(set(self.names)) != len(self.names):
            raise InvalidInput({"groups": f"group names must differ; got {', '.join(self.names)}"})

    @classmethod
    def ranges(cls, ranges: Mapping[str, tuple[int, int]]) -> Self:
        """Return groups from ``name: (start, end)``, end excluded."""
        return cls(tuple(ranges), tuple(tuple(range(start, end)) for start, end in ranges.values()))

    @classmethod
    def indices(cls, indices: Mapping[str, Iterable[int]]) -> Self:
        """Return groups from ``name: dimensions``."""
        return cls(tuple(indices), tuple(tuple(int(dim) for dim in dims) for dims in indices.values()))

    def check_fits(self, width: int) -> None:
        """Raise InvalidInput if a group reaches beyond a latent of ``width`` dimensions."""
        for name, dims in zip(self.names, self.dims, strict=True):
            if min(dims) < 0 or max(dims) >= width:
                raise InvalidInput(
                    groups=f"group '{name}' reaches dimension {max(dims)}; the latent has 0 to {width - 1}"
                )


def owners(
    factors: Sequence[Factor], groups: Groups | None, own: Mapping[str, str] | None
) -> tuple[int | None, ...]:
    """Return for each factor the index of the group declared to hold it, or None.

    Without ``own`` a concept is held by the group of its own name. Raises InvalidInput for unknown names.
    """
    if groups is None:
        return (None,) * len(factors)
    names = [factor.name for factor in factors]
    if own is None:
        own = {name: name for name in names if name in groups.names}
    for concept, group in own.items():
        if concept not in names:
            raise InvalidInput({"own": f"{concept!r} is not a factor; there are: {', '.join(names)}"})
        if group not in groups.names:
            raise InvalidInput(
                own=f"{group!r}, declared to hold '{concept}', is none of the groups: {', '.join(groups.names)}"
            )
    return tuple(groups.names.index(own[name]) if name in own else None for name in names)

"""What a loop logs as numbers: at once what is on the host, later and together what is on a device.

torch is never imported here: who has a tensor has imported it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput


class OnDevice:
    """One of several values that were copied on their device, by one operation, when they were logged."""

    __slots__ = ("place", "together")

    def __init__(self, together: Together, place: int) -> None:
        self.together, self.place = together, place


class Together:
    """The copies of what was logged in one call, on their device, and the stream that makes them."""

    __slots__ = ("stream", "tensor")

    def __init__(self, tensor: Any, stream: Any) -> None:
        self.tensor, self.stream = tensor, stream


def plain(names: Sequence[str], row: Sequence[Any]) -> tuple[float | OnDevice, ...]:
    """Return values of one call as numbers, or places in copies on a device; raises InvalidInput naming the series."""
    found: list[Any] = list(row)
    away: dict[Any, list[int]] = {}
    for place, value in enumerate(row):
        if type(value) is float:
            continue
        if getattr(value, "is_cpu", False):  # a tensor of torch where its number can be had at once
            try:
                found[place] = float(value.item())
            except (TypeError, ValueError, RuntimeError, OverflowError):
                raise _refused(names[place], repr(value)[:80]) from None
            continue
        device = getattr(value, "device", None)
        if device is not None and getattr(device, "type", "cpu") != "cpu" and hasattr(value, "detach"):
            if value.numel() != 1:
                raise _refused(names[place], f"a tensor of {value.numel()} values")
            away.setdefault(device, []).append(place)
            continue
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            found[place] = float(value.detach() if hasattr(value, "detach") else value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise _refused(names[place], repr(value)[:80]) from None
    for device, places in away.items():
        copies = _copied([row[place] for place in places], device)
        for at, place in enumerate(places):
            found[place] = OnDevice(copies, at)
    return tuple(found)


def fetched(flat: Sequence[float | OnDevice]) -> NDArray[np.float64]:
    """Return the values in their order, those of each device by one transfer."""
    found = np.empty(len(flat), np.float64)
    away: dict[Any, dict[int, Together]] = {}
    places: list[tuple[int, OnDevice]] = []
    for at, value in enumerate(flat):
        if isinstance(value, OnDevice):
            together = value.together
            places.append((at, value))
            away.setdefault((together.tensor.device, together.stream), {})[id(together)] = together
        else:
            found[at] = value
    fetched_of: dict[int, NDArray[np.float64]] = {}
    for (_, stream), several in away.items():
        fetched_of |= _transferred(list(several.values()), stream)
    for at, value in places:
        found[at] = fetched_of[id(value.together)][value.place]
    return found


def _copied(tensors: Sequence[Any], device: Any) -> Together:
    import sys

    torch = sys.modules["torch"]
    # A copy, since a loop may go on writing to its tensor, and detached, so that no graph is held.
    with torch.no_grad():
        tensor = torch.stack([each.detach().reshape(()).to(torch.float32) for each in tensors])
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    return Together(tensor, stream)


def _transferred(several: Sequence[Together], stream: Any) -> dict[int, NDArray[np.float64]]:
    """Return the values of copies by their ids; on the stream that made them, so that they are there."""
    import sys

    torch = sys.modules["torch"]
    with torch.no_grad(), torch.cuda.stream(stream):
        flat = torch.cat([each.tensor for each in several]).cpu().double().numpy()
    ends = np.cumsum([len(each.tensor) for each in several])
    return {id(each): part for each, part in zip(several, np.split(flat, ends[:-1]), strict=True)}


def _refused(name: str, what: str) -> InvalidInput:
    return InvalidInput(values=f"{name!r} is {what}; give a number, or a tensor of one value")

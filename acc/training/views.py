"""Views of images: the same image seen otherwise, by a few seeded augmentations."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from acc.errors import InvalidInput

_DRAWS = (
    6  # random numbers for each row of a view, whatever is asked, so that one setting does not move another
)
_MOST = {"shift": 1.0, "crop": 1.0, "flip": 1.0, "brightness": 1.0, "noise": 1.0}


@dataclass(frozen=True)
class Augmentations:
    """What a view does to an image; each row draws its own, evenly within the range.

    shift: moves it up to this part of its side, by whole pixels, 0..1. crop: least part of the side that is kept and
    stretched to the whole, above 0 and up to 1 (1: all of it). flip: odds of mirroring left to right, 0..1.
    brightness: values are multiplied with 1 - brightness to 1 + brightness, 0..1. noise: standard deviation of the
    Gaussian noise added to each value, 0..1. What lies beyond the border is the border's own value.
    Raises InvalidInput, naming the field, for what is outside its range.
    """

    shift: float = 0.1
    crop: float = 1.0
    flip: float = 0.0
    brightness: float = 0.2
    noise: float = 0.0

    def __post_init__(self) -> None:
        wrong = {}
        for field in fields(self):
            value, most = getattr(self, field.name), _MOST[field.name]
            if not 0 <= value <= most or (field.name == "crop" and value == 0):
                least = "above 0" if field.name == "crop" else "0"
                wrong[field.name] = f"{value!r} is refused; need {least} to {most:g}"
        if wrong:
            raise InvalidInput(wrong)


@torch.no_grad()
def view(images_NCHW: Tensor, how: Augmentations, *, seed: int, size: int, start: int) -> Tensor:
    """Return one view of the images, ``(N, C, H, W)`` in 0..1, a function of its arguments alone.

    seed: of the whole batch of ``size`` rows, of which these are rows ``start`` and on, so that processes that share
    a batch make the views that a single one would.
    """
    device, count = images_NCHW.device, len(images_NCHW)
    generator = torch.Generator(device).manual_seed(seed)
    rows = slice(start, start + count)
    drawn = torch.rand(size, _DRAWS, generator=generator, device=device)[rows]
    seen = images_NCHW
    if how.shift or how.flip or how.crop < 1:
        seen = _moved(seen, how, drawn)
    if how.brightness:
        seen = seen * (1 + how.brightness * (2 * drawn[:, 4] - 1)).view(-1, 1, 1, 1)
    if how.noise:
        shape = (size, *images_NCHW.shape[1:])
        seen = seen + how.noise * torch.randn(shape, generator=generator, device=device)[rows]
    return seen.clamp(0, 1)


def _moved(images_NCHW: Tensor, how: Augmentations, drawn: Tensor) -> Tensor:
    height, width = images_NCHW.shape[2:]
    part = 1 - (1 - how.crop) * drawn[:, 0]
    mirror = 1 - 2 * (drawn[:, 1] < how.flip).to(part.dtype)
    moves = []
    for column, side in ((2, width), (3, height)):
        place = 2 * drawn[:, column] - 1
        # In units in which an image goes from -1 to 1.
        moves.append((place * how.shift * side).round() * 2 / side + place * (1 - part))
    nothing = torch.zeros_like(part)
    theta = torch.stack(
        [torch.stack([part * mirror, nothing, moves[0]], 1), torch.stack([nothing, part, moves[1]], 1)], 1
    )
    grid = F.affine_grid(theta, list(images_NCHW.shape), align_corners=False)
    return F.grid_sample(images_NCHW, grid, padding_mode="border", align_corners=False)

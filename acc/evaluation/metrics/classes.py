"""Balanced accuracy corrected for chance: 0 for guessing, 1 for knowing, whatever the class sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def balanced_skill(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Return (balanced accuracy - chance) / (1 - chance) over classes present; NaN below two."""
    count = torch.bincount(truth, minlength=classes)
    there = count > 0
    present = int(there.sum())
    if present < 2:
        return math.nan
    hits = torch.bincount(truth, weights=(predicted == truth).to(torch.float64), minlength=classes)
    accuracy = float((hits[there] / count[there]).mean())
    return (accuracy - 1 / present) / (1 - 1 / present)

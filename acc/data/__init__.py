"""Data: one store for images and named targets, where it is read from, and what makes it. Torch-free."""

from acc.data.dataset import AccDataset
from acc.data.generator import DatasetGenerator, Progress, no_progress

__all__ = ["AccDataset", "DatasetGenerator", "Progress", "no_progress"]

"""What is kept of checkpoints as pictures: other apps make them, the pages of trees show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Picture:
    """A stored picture of small images side by side: rows of inputs and, below them, of what the model makes of them.

    ``width``, ``height``, ``tile``: pixels, of the whole and of one image (width, height). ``words``: what it shows.
    """

    url: str
    width: int
    height: int
    tile: tuple[int, int]
    words: str

    def crop(self, columns: int = 4, rows: int = 2) -> str:
        """Return the view box of its first images."""
        width, height = self.tile
        return f"0 0 {min(self.width, columns * width)} {min(self.height, rows * height)}"

    @property
    def made(self) -> str:
        """The view box of the first image that the model made."""
        width, height = self.tile
        return f"0 {height} {width} {height}"


class Source(Protocol):
    """Pictures of checkpoints, none of which is made by being asked for."""

    def newest(self, experiments: Collection[int]) -> Mapping[int, Picture]:
        """Return experiment -> its newest picture, where it has one; the same few queries for any number."""
        ...

    def in_tree(self, experiment: int) -> Mapping[int, Picture]:
        """Return checkpoint -> its newest picture, of all in an experiment that have one."""
        ...

    def of(self, checkpoint: int) -> Picture | None:
        """Return the newest picture of a checkpoint."""
        ...


_sources: list[Source] = []


def register(source: Source) -> None:
    """Let the pages of trees show the pictures of another app."""
    if all(type(known) is not type(source) for known in _sources):
        _sources.append(source)


def newest(experiments: Collection[int]) -> dict[int, Picture]:
    """Return experiment -> its newest picture."""
    return {pk: each for source in _sources for pk, each in source.newest(experiments).items()}


def in_tree(experiment: int) -> dict[int, Picture]:
    """Return checkpoint -> its newest picture."""
    return {pk: each for source in _sources for pk, each in source.in_tree(experiment).items()}


def of(checkpoint: int) -> Picture | None:
    """Return the newest picture of a checkpoint; None if there is none."""
    return next((each for source in _sources if (each := source.of(checkpoint))), None)

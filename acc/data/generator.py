"""The base of dataset generators: images made from parameters and a seed. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from acc.data.dataset import AccDataset
from acc.errors import InvalidInput
from acc.params import clean_params, params_of

Progress = Callable[[float], None]


def no_progress(fraction: float) -> None:
    """Ignore the progress."""


class DatasetGenerator:
    """Makes a dataset. Subclass it, declare ``Param``s, write ``generate``.

    Raise ``version`` when the results change. The same version, parameters,
    ``n`` and seed must give the same images, to the byte.
    """

    label: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)

    def generate(self, n: int | None, seed: int, progress: Progress = no_progress) -> AccDataset:
        """Return a dataset of ``n`` images (None: as many as is natural).

        ``progress`` takes the fraction done, 0..1; it may raise to stop the work.
        Raises InvalidInput (n) for a number of images that cannot be made.
        """
        raise NotImplementedError(f"{type(self).__name__} must define generate(n, seed, progress)")

    def preview(self, n: int, seed: int) -> AccDataset:
        """Return about ``n`` images within a second or two, for a form to show what its parameters give.

        One that refuses so few (every combination, say) makes what is natural; override it where that is much.
        """
        try:
            return self.generate(n=n, seed=seed)
        except InvalidInput as error:
            if set(error.fields) != {"n"}:
                raise
            return self.generate(n=None, seed=seed)

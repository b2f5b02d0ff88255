"""The base of recipes: programs that build a tree of checkpoints. Torch-free."""

from __future__ import annotations

from typing import Any, ClassVar

from acc.params import clean_params, params_of


class Recipe:
    """A program that forks, attaches tasks and trains. Subclass it, declare ``Param``s, write ``run``."""

    label: ClassVar[str] = ""

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)

    def run(self, ctx: Any) -> None:
        """Do the work through ``ctx``, whose verbs are the platform's."""
        raise NotImplementedError(f"{type(self).__name__} must define run(ctx)")

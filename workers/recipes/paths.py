"""Where a call of a verb stands in a recipe's program: the key by which a replay finds what it came to."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Scope:
    """One line of calls: the program itself, or one callable of a ``parallel``. Used by one thread.

    Calls are numbered 1, 2, 3 as they are made; the calls of the second callable of call 3 are 3.2.1, 3.2.2.
    So a path depends on the program alone, and never on which thread was faster.
    """

    path: str = ""
    seed: int = 0
    phase: str = ""
    open_phase: Any = None
    calls: int = 0
    _rng: np.random.Generator | None = None

    def next(self) -> str:
        self.calls += 1
        return f"{self.path}.{self.calls}" if self.path else str(self.calls)

    def inner(self, call: str, number: int) -> Scope:
        """Return the scope of callable ``number`` (1 for the first) of the call at path ``call``."""
        return Scope(f"{call}.{number}", self.seed, self.phase)

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this scope: by the run's seed and the path alone."""
        if self._rng is None:
            digest = hashlib.sha256(f"{self.seed}/{self.path}".encode()).digest()
            self._rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        return self._rng


current: ContextVar[Scope | None] = ContextVar("scope_of_a_recipe", default=None)


def order(path: str) -> tuple[int, ...]:
    """Return what sorts paths as the program calls them: 3.2.1 before 3.10.1."""
    return tuple(int(part) for part in path.split("."))

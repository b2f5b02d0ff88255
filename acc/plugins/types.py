"""What a plugin class is, for each kind: its base, the methods it must have, and what is told of it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal

from acc.data import DatasetGenerator
from acc.errors import PluginError
from acc.models import Model
from acc.params import Param, params_of
from acc.recipes import Recipe
from acc.training.task import TargetTask, Task

Kind = Literal["task", "generator", "recipe", "model"]

KINDS: dict[Kind, tuple[type, tuple[str, ...]]] = {
    "task": (Task, ("compute_loss",)),
    "generator": (DatasetGenerator, ("generate",)),
    "recipe": (Recipe, ("run",)),
    "model": (Model, ("posterior", "decode_logits")),
}
_BASES: frozenset[type] = frozenset({base for base, _ in KINDS.values()} | {TargetTask})


@dataclass(frozen=True)
class PluginClass:
    """One class of a plugin file. path: relative to the plugin root; sha256: of ``source``."""

    kind: Kind
    name: str
    cls: type
    path: str
    sha256: str
    source: str
    built_in: bool = False

    @property
    def label(self) -> str:
        """Name for people: the class's ``label``, else its name in words."""
        own = getattr(self.cls, "label", "")
        return own if isinstance(own, str) and own else _words(self.name)

    @property
    def description(self) -> str:
        """The docstring, without that of a base class."""
        return inspect.cleandoc(self.cls.__doc__ or "")

    @property
    def params(self) -> list[Param]:
        """Declared parameters."""
        return params_of(self.cls)

    @property
    def requires(self) -> dict[str, Any]:
        """What a task needs of dataset and model, and what it measures; what a generator's version is."""
        if issubclass(self.cls, Task):
            return {
                "target": self.cls.target,
                "reconstruction": bool(self.cls.needs_reconstruction),
                "posterior": bool(self.cls.needs_posterior),
                "whole_latent": bool(self.cls.reads_whole_latent),
                "metrics": dict(self.cls.metrics),
            }
        if issubclass(self.cls, DatasetGenerator):
            return {"version": self.cls.version}
        if issubclass(self.cls, Model):
            return {"posterior": bool(self.cls.has_posterior)}
        return {}

    def describe(self) -> dict[str, Any]:
        """Return all of this but the class and its source as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "params": [param.as_dict() for param in self.params],
            "requires": self.requires,
        }


def kind_of(cls: type) -> Kind | None:
    """Return the kind of plugin that a class is, or None."""
    if cls in _BASES:
        return None
    return next((kind for kind, (base, _) in KINDS.items() if issubclass(cls, base)), None)


def check(cls: type, kind: Kind) -> None:
    """Raise PluginError unless the class has what its kind must have."""
    base, methods = KINDS[kind]
    missing = [name for name in methods if getattr(cls, name, None) is getattr(base, name)]
    if missing:
        raise PluginError(
            f"class {cls.__name__}({base.__name__}) does not define {' and '.join(missing)}; "
            f"a {kind} must define {' and '.join(methods)}"
        )
    params_of(cls)  # raises PluginError for a default that breaks its own limits
    if issubclass(cls, Task):
        if cls.target not in (None, "class", "real"):
            raise PluginError(f"class {cls.__name__}: target is {cls.target!r}; use 'class', 'real' or None")
        if not isinstance(cls.metrics, dict):
            raise PluginError(
                f"class {cls.__name__}: metrics is {cls.metrics!r}; use a dict of name -> higher is better"
            )


def _words(name: str) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return words[:1].upper() + words[1:]

"""The classes that a job may use, with the source that each came from."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acc.errors import InvalidInput
from acc.hashes import text_sha256
from acc.methods import Method
from acc.metrics import Metric, require_known
from acc.models import BUILT_IN, Model
from acc.names import letters
from acc.training.task import Task


class Loaded(Protocol):
    """What the plugin registry knows of a class (``acc.plugins.PluginClass``)."""

    @property
    def cls(self) -> type: ...

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class Source:
    """Text of the file that defines a class, as a checkpoint keeps it."""

    path: str
    sha256: str
    text: str


class PluginSet:
    """Task, model, method and metric classes by name. Built-in architectures are always there.

    Made from what the registry loaded, or from plain classes in a notebook.
    """

    def __init__(self, *items: Loaded | type[Task] | type[Model] | type[Method] | type[Metric]) -> None:
        self._tasks: dict[str, type[Task]] = {}
        self._models: dict[str, type[Model]] = {}
        self._methods: dict[str, type[Method]] = {}
        self._metrics: dict[str, type[Metric]] = {}
        self._sources: dict[str, Source] = {}
        self.add(*items)

    def add(self, *items: Loaded | type[Task] | type[Model] | type[Method] | type[Metric]) -> None:
        """Take in more classes; one of a name that is known replaces it for what is built from now on."""
        for item in items:
            cls: type
            if isinstance(item, type):
                cls, name, source = item, item.__name__, _inspected(item)
            else:
                cls, name, source = item.cls, item.name, Source(str(item.path), item.sha256, item.source)
            if issubclass(cls, Task):
                self._tasks[name] = cls
            elif issubclass(cls, Model):
                self._models[name] = cls
            elif issubclass(cls, Method):
                self._methods[name] = cls
            elif issubclass(cls, Metric):
                self._metrics[name] = cls
            if source is not None:
                self._sources[name] = source

    def include(self, other: PluginSet) -> None:
        """Take in the classes of another set, except those of names that are known here."""
        self._tasks = {**other._tasks, **self._tasks}
        self._models = {**other._models, **self._models}
        self._methods = {**other._methods, **self._methods}
        self._metrics = {**other._metrics, **self._metrics}
        self._sources = {**other._sources, **self._sources}

    @property
    def models(self) -> Mapping[str, type[Model]]:
        """Architectures by name."""
        return {**BUILT_IN, **self._models}

    @property
    def task_names(self) -> frozenset[str]:
        """Names of the task classes that are known."""
        return frozenset(self._tasks)

    @property
    def method_names(self) -> frozenset[str]:
        """Names of the method classes that are known."""
        return frozenset(self._methods)

    def task(self, name: str) -> type[Task]:
        """Return the task class; raises InvalidInput (task_class) naming those that are known."""
        cls = self._tasks.get(name)
        if cls is None:
            known = ", ".join(sorted(self._tasks)) or "none"
            raise InvalidInput({"task_class": f"{name!r} is not a known task; known: {known}"})
        return cls

    def method(self, name: str) -> type[Method]:
        """Return the method class of a name, whatever its spelling: ``BetaVAE``, ``beta_vae``.

        Raises InvalidInput (method) naming those that are known.
        """
        found = next((cls for known, cls in self._methods.items() if letters(known) == letters(name)), None)
        if found is None:
            known = ", ".join(sorted(self._methods)) or "none"
            raise InvalidInput({"method": f"{name!r} is not a known method; known: {known}"})
        return found

    def metric(self, name: str) -> type[Metric]:
        """Return the class of a metric of a whole checkpoint; raises InvalidInput (suite) naming them."""
        require_known(name, self._metrics)
        return self._metrics[name]

    def sources(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return name -> {path, sha256, source} of those classes whose source is known."""
        found = {name: self._sources[name] for name in sorted(set(names)) if name in self._sources}
        return {name: {"path": s.path, "sha256": s.sha256, "source": s.text} for name, s in found.items()}


def _inspected(cls: type) -> Source | None:
    try:
        path = Path(inspect.getsourcefile(cls) or "")
        text = path.read_text(encoding="utf-8")
    except (OSError, TypeError):  # defined in a notebook cell or at a prompt
        return None
    return Source(path.name, text_sha256(text), text)

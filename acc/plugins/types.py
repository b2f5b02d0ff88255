"""What a plugin class is, for each kind: its base, the methods it must have, and what is told of it."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from acc.data import DatasetGenerator
from acc.errors import PluginError, TaskError
from acc.methods import Method, Paper
from acc.metrics import Metric
from acc.models import Model
from acc.params import Param, params_of
from acc.recipes import Recipe
from acc.specs import METRIC_CLASS, TrainSpec
from acc.text import in_words, text_of
from acc.training.context import LOSS_TAKES, takes_step
from acc.training.task import EvaluationTask, JointTask, TargetTask, Task

Kind = Literal["task", "generator", "recipe", "model", "method", "metric"]

KINDS: dict[Kind, tuple[type, tuple[str, ...]]] = {
    "task": (Task, ("compute_loss",)),
    "generator": (DatasetGenerator, ("generate",)),
    "recipe": (Recipe, ("run",)),
    "model": (Model, ("posterior", "decode_logits")),
    "method": (Method, ("setup",)),
    "metric": (Metric, ("measure",)),
}
# Set on every instance: a parameter of that name would be overwritten.
_KEPT_NAMES = frozenset({"key", "latent_range", "column", "spec", "model"})
# train() takes these beside the parameters of its method.
_NOT_FOR_METHODS = frozenset(
    {"data", "method", "tasks", "latent_dim", "factors", "start_from", "control", "classes", "model_seed"}
) | set(TrainSpec.model_fields)
METRIC_CHARS = 32
MOST_SECONDS = 3600
_NUMBER_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z0-9]+")
# Tasks of these bases define another method in place of compute_loss.
_SPECIAL_TASKS: tuple[tuple[type[Task], str], ...] = (
    (JointTask, "compute_joint_loss"),
    (EvaluationTask, "evaluate"),
)
_BASES: frozenset[type] = frozenset(
    {base for base, _ in KINDS.values()} | {TargetTask} | {base for base, _ in _SPECIAL_TASKS}
)


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
        return params_of(self.cls)

    @property
    def requires(self) -> dict[str, Any]:
        """What a task needs of dataset and model, and measures; a generator's version; a paper; a metric's numbers."""
        if issubclass(self.cls, Task):
            return {
                "target": self.cls.target,
                "reconstruction": bool(self.cls.needs_reconstruction),
                "posterior": bool(self.cls.needs_posterior),
                "whole_latent": bool(self.cls.reads_whole_latent),
                "metrics": dict(self.cls.metrics),
                "thresholds": {name: self.cls.threshold(name) for name in ("loss", *self.cls.metrics)},
                "trains": bool(self.cls.trains),
            }
        if issubclass(self.cls, DatasetGenerator):
            return {"version": self.cls.version}
        if issubclass(self.cls, Model):
            return {"posterior": bool(self.cls.has_posterior)}
        if issubclass(self.cls, Method):
            return {"paper": _paper(self.cls.paper)}
        if issubclass(self.cls, Metric):
            return {
                "paper": _paper(self.cls.paper) if self.cls.paper else {},
                "metrics": dict(self.cls.metrics),
                "ranges": {name: list(ends) for name, ends in self.cls.ranges.items()},
                "seconds": self.cls.seconds,
            }
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


def _paper(paper: Paper) -> dict[str, Any]:
    return {**asdict(paper), "text": str(paper)}


def kind_of(cls: type) -> Kind | None:
    """Return the kind of plugin that a class is, or None."""
    if cls in _BASES:
        return None
    return next((kind for kind, (base, _) in KINDS.items() if issubclass(cls, base)), None)


def required(cls: type, kind: Kind) -> tuple[type, tuple[str, ...]]:
    """Return the base of a class, and the methods that it must define."""
    return next(
        ((base, (method,)) for base, method in _SPECIAL_TASKS if kind == "task" and issubclass(cls, base)),
        KINDS[kind],
    )


def missing_methods(cls: type, kind: Kind) -> list[str]:
    """Return the methods that a class of this kind must define and does not."""
    base, methods = required(cls, kind)
    return [name for name in methods if getattr(cls, name, None) is getattr(base, name)]


def check(cls: type, kind: Kind) -> None:
    """Raise PluginError unless the class is complete, consistent, and can be made from its parameters."""
    base, methods = required(cls, kind)
    if inspect.isabstract(cls):
        names = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(
            f"class {cls.__name__} is abstract: it must define {names}, or a subclass that does"
        )
    missing = missing_methods(cls, kind)
    if missing:
        raise PluginError(
            f"class {cls.__name__}({base.__name__}) does not define {' and '.join(missing)}; "
            f"a {kind} must define {' and '.join(methods)}"
        )
    for name in methods:
        if name in LOSS_TAKES:
            _check_loss(cls, name)
        else:
            _check_signature(cls, base, name)
    _check_params(cls, base)
    if issubclass(cls, Task):
        _check_task(cls)
    if issubclass(cls, Method):
        _check_method(cls)
    if issubclass(cls, Metric):
        _check_metric(cls)
    if issubclass(cls, DatasetGenerator) and (
        isinstance(cls.version, bool) or not isinstance(cls.version, int)
    ):
        raise PluginError(f"class {cls.__name__}: version is {cls.version!r}; use a whole number")
    if not issubclass(cls, Model):  # which is made from a specification, and costs time
        _check_made(cls)


def _check_loss(cls: type, name: str) -> None:
    try:
        takes_step(getattr(cls, name), ("self", *LOSS_TAKES[name]))
    except TaskError as error:
        raise PluginError(f"class {cls.__name__}: {error.fields['task_class'][0]}") from None


def _check_signature(cls: type, base: type, name: str) -> None:
    asked = list(inspect.signature(getattr(base, name)).parameters)
    try:
        own = inspect.signature(getattr(cls, name))
    except (TypeError, ValueError):  # something callable that Python cannot look into
        return
    values = dict.fromkeys(asked[1:])
    try:
        # Generators are asked by name, all else by place.
        own.bind(None, **values) if base is DatasetGenerator else own.bind(None, *values)
    except TypeError as error:
        right = f"{name}({', '.join(asked)})"
        raise PluginError(
            f"class {cls.__name__}: {name}{own} cannot be called as {right}: {text_of(error)}"
        ) from None


def _check_params(cls: type, base: type) -> None:
    for param in params_of(cls):  # raises PluginError for a declaration that contradicts itself
        taken = hasattr(base, param.name) and not isinstance(getattr(base, param.name), Param)
        if taken or param.name in _KEPT_NAMES or param.name.startswith("_"):
            raise PluginError(
                f"class {cls.__name__}: parameter '{param.name}' has a name that {base.__name__} needs itself; "
                "choose another"
            )


def _check_task(cls: type[Task]) -> None:
    if cls.target not in (None, "class", "real"):
        raise PluginError(f"class {cls.__name__}: target is {cls.target!r}; use 'class', 'real' or None")
    metrics: Any = cls.metrics
    if not isinstance(metrics, dict) or not all(
        isinstance(name, str) and isinstance(higher, bool) for name, higher in metrics.items()
    ):
        raise PluginError(
            f"class {cls.__name__}: metrics is {metrics!r}; use a dict of name -> whether higher is better"
        )
    thresholds: Any = cls.thresholds
    if not isinstance(thresholds, dict) or not all(
        isinstance(name, str) and (pair is None or _is_pair(pair)) for name, pair in thresholds.items()
    ):
        raise PluginError(
            f"class {cls.__name__}: thresholds is {thresholds!r}; use a dict of metric -> (moderate from, good "
            "from), or None"
        )


def _check_method(cls: type[Method]) -> None:
    if not isinstance(getattr(cls, "paper", None), Paper):
        raise PluginError(
            f"class {cls.__name__}: paper is missing; write paper = Paper(authors, year, title, where), from acc.api"
        )
    taken = [param.name for param in params_of(cls) if param.name in _NOT_FOR_METHODS]
    if taken:
        raise PluginError(
            f"class {cls.__name__}: parameter '{taken[0]}' has a name that train(method=...) takes itself; choose "
            "another"
        )


def _check_metric(cls: type[Metric]) -> None:
    def wrong(what: str, right: str) -> PluginError:
        return PluginError(f"class {cls.__name__}: {what}; {right}")

    if len(cls.__name__) > METRIC_CHARS or not METRIC_CLASS.match(cls.__name__):
        raise wrong(
            "its name is not that of a metric",
            f"begin with a capital letter, and use at most {METRIC_CHARS} letters",
        )
    if cls.paper is not None and not isinstance(cls.paper, Paper):
        raise wrong(
            f"paper is {cls.paper!r}", "write paper = Paper(authors, year, title, where), from acc.api"
        )
    metrics: Any = cls.metrics
    if not isinstance(metrics, Mapping) or not metrics:
        raise wrong(
            f"metrics is {metrics!r}",
            "use a dict of name -> whether higher is better, with one name at least",
        )
    for name, higher in metrics.items():
        if not isinstance(name, str) or len(name) > METRIC_CHARS - 1 or not _NUMBER_NAME.fullmatch(name):
            right = f"use a-z, 0-9 and _, beginning with a letter, at most {METRIC_CHARS - 1}"
            raise wrong(f"metrics names {name!r}", right)
        if not isinstance(higher, bool | None):
            raise wrong(
                f"metrics[{name!r}] is {higher!r}", "True: higher is better, False: lower, None: neither is"
            )
    ranges: Any = cls.ranges
    if not isinstance(ranges, Mapping) or not all(
        name in metrics and _is_pair(pair) and -math.inf < pair[0] < pair[1] < math.inf
        for name, pair in ranges.items()
    ):
        raise wrong(f"ranges is {ranges!r}", "use a dict of a name of metrics -> (least, greatest)")
    seconds: Any = cls.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_SECONDS:
        raise wrong(f"seconds is {seconds!r}", f"use a number up to {MOST_SECONDS}")


def _is_pair(pair: Any) -> bool:
    numbers = isinstance(pair, tuple | list) and len(pair) == 2
    return numbers and all(isinstance(end, int | float) and not isinstance(end, bool) for end in pair)


def _check_made(cls: type) -> None:
    try:
        cls()
    except Exception as error:
        raise PluginError(
            f"class {cls.__name__} cannot be made with its default parameters: {in_words(error)}"
        ) from error


def _words(name: str) -> str:
    """Return a class name in words: ``KLDivergenceTask`` gives ``KL divergence``."""
    words = _WORD.findall(name) or [name]
    if len(words) > 1 and words[-1] in {"Task", "Generator", "Recipe"}:
        words.pop()
    return " ".join([words[0], *(word if word.isupper() else word.lower() for word in words[1:])])

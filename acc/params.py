"""Plugin parameters: declared once, then validation, HTML form, API schema and CLI flags. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from acc.errors import InvalidInput, PluginError

ParamType = Literal["int", "float", "bool", "str"]
_PYTHON_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


@dataclass(frozen=True)
class Param:
    """One parameter of a plugin: ``steps = Param(9, min=2, max=64, help="columns of the grid")``.

    ``type`` is taken from the default when it is not given. ``min`` and ``max`` are inclusive.
    ``choices`` restricts to the values listed. Reading the attribute on an *instance* gives the value.
    """

    default: int | float | bool | str
    min: float | None = None
    max: float | None = None
    choices: tuple[int | float | str, ...] | None = None
    help: str = ""
    unit: str = ""
    type: ParamType | None = None
    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)
        if self.type is None:
            kind = type(self.default).__name__
            if kind not in _PYTHON_TYPES:
                raise PluginError(
                    f"parameter '{name}': default {self.default!r} is a {kind}; use int, float, bool or str"
                )
            object.__setattr__(self, "type", kind)
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = self.clean(value)

    def clean(self, value: Any) -> Any:
        """Return ``value`` as this parameter's type; raises ValueError with a sentence."""
        kind = self.type or type(self.default).__name__
        if kind == "bool":
            cleaned: Any = _clean_bool(value)
        elif kind == "int":
            cleaned = _clean_int(value)
        elif kind == "float":
            cleaned = _clean_float(value)
        else:
            if not isinstance(value, str):
                raise ValueError(f"{value!r} is not text")
            cleaned = value
        if self.choices is not None and cleaned not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(map(str, self.choices))}")
        if self.min is not None and cleaned < self.min:
            raise ValueError(f"{value!r} is below the least allowed, {self.min:g}")
        if self.max is not None and cleaned > self.max:
            raise ValueError(f"{value!r} is above the most allowed, {self.max:g}")
        return cleaned

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that registry rows keep and forms are made from."""
        row = asdict(self)
        row["choices"] = list(self.choices) if self.choices is not None else None
        return row


def _clean_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "on", "1", "yes"}:
        return True
    if isinstance(value, str) and value.lower() in {"false", "off", "0", "no", ""}:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _clean_int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    try:
        number = float(value) if not isinstance(value, int) else value
        if number != int(number):
            raise ValueError
        return int(str(value), 10) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else int(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a whole number") from None


def _clean_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def params_of(cls: type) -> list[Param]:
    """Return the parameters declared on a class and its bases, in order of declaration, defaults checked.

    Raises PluginError if a default breaks the limits of its own parameter.
    """
    found: dict[str, Param] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Param):
                found[name] = value
    for name, param in found.items():
        try:
            param.clean(param.default)
        except ValueError as error:
            raise PluginError(f"{cls.__name__}: parameter '{name}' has a bad default: {error}") from error
    return list(found.values())


def param_from_dict(row: Mapping[str, Any]) -> Param:
    """Rebuild a Param from ``Param.as_dict()``."""
    choices = row.get("choices")
    known = {key: row[key] for key in Param.__dataclass_fields__ if key in row}
    return replace(Param(**{**known, "choices": None}), choices=tuple(choices) if choices is not None else None)


def clean_params(
    schema: Sequence[Param] | Sequence[Mapping[str, Any]], values: Mapping[str, Any], *, prefix: str = "params."
) -> dict[str, Any]:
    """Return all parameters with defaults filled in; raises InvalidInput naming each wrong field."""
    params = [item if isinstance(item, Param) else param_from_dict(item) for item in schema]
    known = {param.name for param in params}
    errors: dict[str, str] = {}
    for name in values:
        if name not in known:
            right = ", ".join(sorted(known)) or "none"
            errors[f"{prefix}{name}"] = f"unknown parameter {name!r}; known: {right}"
    cleaned: dict[str, Any] = {}
    for param in params:
        try:
            cleaned[param.name] = param.clean(values.get(param.name, param.default))
        except ValueError as error:
            errors[f"{prefix}{param.name}"] = str(error)
    if errors:
        raise InvalidInput(errors)
    return cleaned

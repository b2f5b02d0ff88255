"""Plugin parameters: declared once, then validation, HTML form, API schema and CLI flags. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

from acc.errors import InvalidInput, PluginError

ParamType = Literal["int", "float", "bool", "str"]
Value = int | float | bool | str
Class: TypeAlias = type  # `type` is a field of Param

MAX_TEXT_LENGTH = 10_000
# Beyond it a whole number is no longer the same in JSON, a form and a 64-bit column.
MAX_WHOLE = 2**53
_PYTHON_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,20}\s*")
# NUL cannot be stored by PostgreSQL, and a lone surrogate by nothing that is UTF-8.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Param:
    """One parameter of a plugin: ``steps = Param(9, min=2, max=64, help="columns of the grid")``.

    ``type`` is taken from the default when it is not given. ``min`` and ``max`` are inclusive and for numbers
    only. ``choices`` restricts to the values listed. Reading the attribute on an *instance* gives the value.
    A declaration that makes no sense raises PluginError when its class is made.
    """

    default: Value
    min: float | None = None
    max: float | None = None
    choices: tuple[int | float | str, ...] | None = None
    help: str = ""
    unit: str = ""
    type: ParamType | None = None
    name: str = ""

    def __set_name__(self, owner: Class, name: str) -> None:
        if self.name and self.name != name:
            raise PluginError(f"parameters '{self.name}' and '{name}' are one Param; give each its own")
        object.__setattr__(self, "name", name)
        if self.type is None:
            kind = type(self.default).__name__
            if kind not in _PYTHON_TYPES:
                raise PluginError(
                    f"parameter '{name}': default {self.default!r} is a {kind}; use int, float, bool or str"
                )
            object.__setattr__(self, "type", kind)
        elif self.type not in _PYTHON_TYPES:
            raise PluginError(
                f"parameter '{name}': type {self.type!r} is unknown; use int, float, bool or str"
            )
        if self.choices is not None:
            object.__setattr__(self, "choices", _choices(self.choices, name))

    def __get__(self, instance: Any, owner: Class | None = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        try:
            instance.__dict__[self.name] = self.clean(value)
        except ValueError as error:
            raise InvalidInput({f"params.{self.name}": str(error)}) from error

    def clean(self, value: Any) -> Any:
        """Return ``value`` as this parameter's type; raises ValueError with a sentence.

        Text from forms and command lines is read as the type; a number is never taken for a truth value.
        """
        kind = self.type or type(self.default).__name__
        if kind == "bool":
            cleaned: Any = _clean_bool(value)
        elif kind == "int":
            cleaned = _clean_int(value)
        elif kind == "float":
            cleaned = _clean_float(value)
        else:
            cleaned = _clean_text(value)
        if self.choices is not None and cleaned not in self.choices:
            raise ValueError(f"{_short(value)} is not one of {', '.join(map(str, self.choices))}")
        if kind in {"int", "float"}:
            if self.min is not None and cleaned < self.min:
                raise ValueError(f"{_short(value)} is below the least allowed, {self.min:.17g}")
            if self.max is not None and cleaned > self.max:
                raise ValueError(f"{_short(value)} is above the most allowed, {self.max:.17g}")
        return cleaned

    def check(self) -> None:
        """Raise PluginError with a sentence unless limits, choices and default agree with each other."""
        for name, limit in (("min", self.min), ("max", self.max)):
            if limit is None:
                continue
            if self.type not in {"int", "float"}:
                raise PluginError(
                    f"parameter '{self.name}' is of type {self.type}; {name} is for numbers only"
                )
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise PluginError(f"parameter '{self.name}': {name} {limit!r} is not a finite number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PluginError(f"parameter '{self.name}': min {self.min:g} is above max {self.max:g}")
        for choice in self.choices or ():
            kind = type(choice).__name__
            if kind != self.type and not (kind == "int" and self.type == "float"):
                raise PluginError(f"parameter '{self.name}': choice {choice!r} is not of type {self.type}")
            try:
                self.clean(choice)
            except ValueError as error:
                raise PluginError(f"parameter '{self.name}' has a bad choice: {error}") from error
        try:
            self.clean(self.default)
        except ValueError as error:
            raise PluginError(f"parameter '{self.name}' has a bad default: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that registry rows keep and forms are made from."""
        row = asdict(self)
        row["choices"] = list(self.choices) if self.choices is not None else None
        return row


def _choices(choices: Any, name: str) -> tuple[int | float | str, ...]:
    if isinstance(choices, str) or not isinstance(choices, Sequence | set | frozenset | dict):
        raise PluginError(f"parameter '{name}': choices {choices!r} is not a list of values")
    if not choices:
        raise PluginError(f"parameter '{name}' has no choices; list at least one, or leave choices out")
    return tuple(sorted(choices) if isinstance(choices, set | frozenset) else choices)


def _clean_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "on", "1", "yes"}:
        return True
    if isinstance(value, str) and value.strip().lower() in {"false", "off", "0", "no", ""}:
        return False
    raise ValueError(f"{_short(value)} is neither true nor false")


def _clean_int(value: Any) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value)
    elif isinstance(value, float | str):
        try:
            exact = float(value)
            number = int(exact) if exact == int(exact) else None
        except (ValueError, OverflowError):
            number = None
    if number is None:
        raise ValueError(f"{_short(value)} is not a whole number")
    if abs(number) > MAX_WHOLE:
        raise ValueError(f"{_short(value)} is too large; at most {MAX_WHOLE} either way")
    return number


def _clean_float(value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{_short(value)} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{_short(value)} is not a finite number")
    return number


def _clean_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_short(value)} is not text")
    if len(value) > MAX_TEXT_LENGTH:
        raise ValueError(f"it has {len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed")
    if _NO_TEXT.search(value):
        raise ValueError("it holds a NUL or half a character; remove it")
    return value


def _short(value: Any) -> str:
    """Return ``repr`` for a sentence: an upload pasted into a field is not repeated whole."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def params_of(cls: type) -> list[Param]:
    """Return the parameters declared on a class and its bases, in order of declaration, all checked.

    A subclass that sets a parameter's name to a plain value takes it out of the list. Raises PluginError
    naming class and parameter when a declaration contradicts itself.
    """
    found: dict[str, Param] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Param):
                found[name] = value
            else:
                found.pop(name, None)
    for param in found.values():
        try:
            param.check()
        except PluginError as error:
            raise PluginError(f"{cls.__name__}: {error}") from error
    return list(found.values())


def param_from_dict(row: Mapping[str, Any]) -> Param:
    """Rebuild a Param from ``Param.as_dict()``; what a newer version may have added is left out."""
    known = {field.name: row[field.name] for field in fields(Param) if field.name in row}
    choices = known.get("choices")
    return Param(**{**known, "choices": tuple(choices) if choices is not None else None})


def clean_params(
    schema: Sequence[Param] | Sequence[Mapping[str, Any]],
    values: Mapping[str, Any],
    *,
    prefix: str = "params.",
) -> dict[str, Any]:
    """Return all parameters with defaults filled in; raises InvalidInput naming each wrong field."""
    given: object = values  # from outside it may be anything
    if not isinstance(given, Mapping):
        right = "an object, such as {}"
        raise InvalidInput({prefix.rstrip(".") or "__all__": f"{_short(values)} is refused; give {right}"})
    params = [item if isinstance(item, Param) else param_from_dict(item) for item in schema]
    known = {param.name for param in params}
    errors: dict[str, str] = {}
    for name in values:
        if name not in known:
            right = ", ".join(sorted(known)) or "none"
            errors[f"{prefix}{name}"] = f"unknown parameter {_short(name)}; known: {right}"
    cleaned: dict[str, Any] = {}
    for param in params:
        try:
            cleaned[param.name] = param.clean(values.get(param.name, param.default))
        except ValueError as error:
            errors[f"{prefix}{param.name}"] = str(error)
    if errors:
        raise InvalidInput(errors)
    return cleaned

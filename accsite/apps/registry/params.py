"""Declared parameters of plugins as words, as flags of commands, and as JSON Schema."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from acc.names import letters
from accsite.apps.registry.models import Plugin, PluginKind

PREFIX = "param_"
"""Of what the flags of parameters are called among the options of a command."""


def allowed(param: Mapping[str, Any]) -> str:
    """Return what a parameter may be, in words: ``2 to 64 px``, ``fast | exact``."""
    unit = f" {param['unit']}" if param.get("unit") else ""
    if param.get("choices"):
        return " | ".join(map(str, param["choices"])) + unit
    low, high = param.get("min"), param.get("max")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    if low is not None:
        return f"at least {low:g}{unit}"
    return f"at most {high:g}{unit}" if high is not None else unit.strip()


def flag(param: Mapping[str, Any]) -> str:
    """Return the command line flag of a parameter: ``--target-name``."""
    return f"--{param['name'].replace('_', '-')}"


def add_flags(parser: ArgumentParser, plugin: Plugin) -> None:
    """Add a flag for each parameter of a class; one that the command needs itself is left to ``--param``."""
    taken = {option for action in parser._actions for option in action.option_strings}
    group = parser.add_argument_group(f"parameters of {plugin.name}")
    for param in plugin.params:
        if flag(param) not in taken:
            group.add_argument(flag(param), dest=PREFIX + param["name"], metavar="VALUE", help=_help(param))


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given as flags."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in options.items()
        if name.startswith(PREFIX) and value is not None
    }


def find(kind: PluginKind, name: str) -> Plugin | None:
    """Return an available class by its name, whatever its spelling: ``RegressionTask``, ``regression``."""
    wanted = letters(name)
    rows = list(Plugin.objects.filter(kind=kind, available=True))
    exact = [row for row in rows if row.name == name] or [row for row in rows if letters(row.name) == wanted]
    short = [row for row in rows if letters(row.name) == wanted + kind.value or letters(row.label) == wanted]
    return next(iter(exact or short), None)


def json_schema(params: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON Schema of an object of these parameters."""
    types = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    properties: dict[str, Any] = {}
    for param in params:
        about = " ".join(filter(None, [param.get("help"), f"({param['unit']})" if param.get("unit") else ""]))
        row = {
            "type": types[param["type"]],
            "default": param["default"],
            "minimum": param.get("min"),
            "maximum": param.get("max"),
            "enum": list(param["choices"]) if param.get("choices") else None,
            "description": about,
        }
        properties[param["name"]] = {key: value for key, value in row.items() if value not in (None, "")}
    # A misspelt parameter is refused.
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _help(param: Mapping[str, Any]) -> str:
    default = f"default: {param['default']!r}" if param["default"] == "" else f"default: {param['default']}"
    # argparse takes a per cent sign for a placeholder of its own.
    return "; ".join(filter(None, [param.get("help"), allowed(param), default])).replace("%", "%%")

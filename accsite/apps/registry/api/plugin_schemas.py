"""Puts the declared parameters of plugins into the OpenAPI schema, as they are when it is asked for."""

from __future__ import annotations

from typing import Any

from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.registry.params import json_schema

PLACES = (
    (PluginKind.TASK, "TaskRequestRequest", "task_class"),
    (PluginKind.GENERATOR, "GenerateRequest", "generator"),
    (PluginKind.MODEL, "ModelSpec", "architecture"),
)
"""Which request takes the parameters of a kind, and which of its fields names the class."""


def describe_params(result: dict[str, Any], request: Any = None, **_: Any) -> dict[str, Any]:
    """Make each request that takes parameters one of a schema for each class there is, told apart by its name.

    A hook of drf-spectacular. ``ModelSpec`` becomes ``oneOf`` of ``ModelSpec.Autoencoder`` and its
    sisters; their ``params`` have types, defaults, limits, choices and help. A schema that nobody asks this site
    for (a check of the deployment) knows no plugins.
    """
    if request is None:
        return result
    schemas = result.get("components", {}).get("schemas", {})
    for kind, body, field in PLACES:
        base = schemas.get(body)
        plugins = list(Plugin.objects.filter(kind=kind, available=True).order_by("name"))
        if base is None or not plugins:
            continue
        names = []
        for plugin in plugins:
            schemas[f"{plugin.name}Params"] = json_schema(plugin.params)
            names.append(name := f"{body}.{plugin.name}")
            schemas[name] = {
                **base,
                "title": name,
                "description": plugin.description or base.get("description", ""),
                "properties": {
                    **base["properties"],
                    field: {"type": "string", "const": plugin.name},
                    "params": {"$ref": f"#/components/schemas/{plugin.name}Params"},
                },
            }
        schemas[body] = {
            "title": body,
            "description": base.get("description", ""),
            "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names],
            "discriminator": {
                "propertyName": field,
                "mapping": {
                    plugin.name: f"#/components/schemas/{name}"
                    for plugin, name in zip(plugins, names, strict=True)
                },
            },
        }
    return result

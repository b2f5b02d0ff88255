"""What a method makes for given data, as JSON: the checked child finds it, since it runs the code of a plugin."""

from __future__ import annotations

from typing import Any

from acc.errors import PluginError
from acc.methods import made
from acc.plugins.preview import failure_of
from acc.specs import DatasetSpec, parse


def setup_of(
    path: str, text: str, sha256: str, *, name: str, params: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """Return ``setup``, of ``acc.methods.Setup``, of the method ``name`` for data of a ``DatasetSpec``.

    ``error`` holds a sentence, and ``fields`` those of single fields, when there is none.
    """
    from acc.plugins.load import load_source

    try:
        loaded = load_source(text, path, sha256)
        method = next((each.cls for each in loaded if (each.kind, each.name) == ("method", name)), None)
        if method is None:
            raise PluginError(f"the source defines no method {name} any more", path=path)
        found = made(method(**params), parse(DatasetSpec, data))
    except Exception as error:
        return failure_of(error, name, most="a method is given")
    return {"error": "", "setup": found.model_dump(mode="json")}

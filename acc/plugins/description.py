"""What a model is made of, as JSON: the checked child finds it, since it runs the code of a plugin."""

from __future__ import annotations

from typing import Any

from acc.plugins.preview import failure_of
from acc.specs import ModelSpec, parse


def description_of(path: str, text: str, sha256: str, *, model: dict[str, Any]) -> dict[str, Any]:
    """Return ``description``, of ``acc.description.ModelDescription``, of the model that a specification names.

    text: the source of its architecture, '' for one that comes with ACC. ``error`` holds a sentence, and ``fields``
    those of single fields, when there is none.
    """
    from acc.models.describe import describe
    from acc.plugins.load import load_source

    try:
        loaded = load_source(text, path, sha256) if text else []
        classes = {each.name: each.cls for each in loaded if each.kind == "model"}
        found = describe(parse(ModelSpec, model), classes)
    except Exception as error:
        return failure_of(error, model.get("architecture"), most="a drawing is given")
    return {"error": "", "description": found.model_dump(mode="json")}

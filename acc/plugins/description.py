"""What a model is made of, as JSON: the checked child finds it, since it runs the code of a plugin."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput, PluginError
from acc.plugins.preview import failure
from acc.specs import ModelSpec, parse
from acc.text import in_words, text_of


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
    except InvalidInput as error:
        return failure(text_of(error), {field: list(messages) for field, messages in error.fields.items()})
    except PluginError as error:
        return failure(error.message)
    except MemoryError:
        return failure(f"{model.get('architecture')} asks for more memory than a drawing is given")
    except Exception as error:
        return failure(f"{model.get('architecture')} raises {in_words(error)}")
    return {"error": "", "description": found.model_dump(mode="json")}

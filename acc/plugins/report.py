"""What became of a plugin file, as JSON: its classes described, or its error. The checked child makes it."""

from __future__ import annotations

from typing import Any, TypedDict

from acc.errors import PluginError
from acc.plugins.source import context_of
from acc.text import DETAIL_CHARS, clean, clean_data


class Report(TypedDict):
    """classes: kind, name, label, description, params, requires of each; empty if ``error`` is set.

    line: 1-based; context: the numbered lines around it; detail: traceback; output: what the file printed.
    """

    classes: list[dict[str, Any]]
    error: str
    line: int | None
    context: str
    detail: str
    output: str


def report_of(path: str, text: str, sha256: str) -> Report:
    """Load a file in this process and return what became of it."""
    from acc.plugins.load import load_source

    try:
        classes = [plugin.describe() for plugin in load_source(text, path, sha256)]
    except PluginError as error:
        return refusal(error.message, text=text, line=error.line, detail=error.detail)
    except KeyboardInterrupt:
        return refusal("raises KeyboardInterrupt at import; a plugin may only define things there")
    return Report(
        classes=clean_data(classes, DETAIL_CHARS), error="", line=None, context="", detail="", output=""
    )


def refusal(message: str, *, text: str = "", line: int | None = None, detail: str = "") -> Report:
    """Return the report of a file that could not be loaded."""
    context = context_of(text, line)
    return Report(
        classes=[],
        error=clean(message),
        line=line,
        context=clean(context, DETAIL_CHARS),
        detail=clean(detail, DETAIL_CHARS),
        output="",
    )

"""Previews of generators: eight images for the parameters of a half-filled form, made by the watcher's fork server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from acc.errors import InvalidInput
from acc.params import Param, clean_params
from accsite.apps.registry import questions, selectors
from accsite.apps.registry.models import PluginKind
from accsite.apps.registry.questions import NoAnswer as NoPreview
from accsite.errors import WrongState

__all__ = ["NoPreview", "Preview", "make", "picture"]


@dataclass(frozen=True)
class Preview:
    """Eight images in one row. ``values``: target -> one value for each; ``targets``: acc.specs.TargetSpec of each."""

    key: str
    n: int
    channels: int
    height: int
    width: int
    targets: list[dict[str, Any]]
    values: dict[str, list[float]]


def make(*, who: str, generator: object, params: Mapping[str, Any], seed: Any = 0) -> Preview:
    """Return the preview of a generator for ``who``, a name of the page that asks.

    Raises InvalidInput naming each wrong field (``preview`` for what the generator itself does wrong), WrongState when
    the same page has asked for another meanwhile, and NoPreview when none came in time.
    """
    plugin = selectors.get(PluginKind.GENERATOR, generator)
    cleaned = clean_params(plugin.params, params)
    try:
        number = Param(0, min=0, max=2**31 - 1, type="int").clean(seed if seed not in (None, "") else 0)
    except ValueError as error:
        raise InvalidInput({"seed": str(error)}) from error
    key, report = questions.ask(
        "preview",
        who=who,
        sha256=plugin.source_id,
        asked={"name": plugin.name, "params": cleaned, "seed": number},
        field="generator",
        without="The dataset can be made without",
    )
    return _preview(key, report)


def picture(key: str) -> bytes | None:
    """Return the PNG of a preview that is still kept."""
    try:
        report = questions.kept(key) or {}
    except RedisError:
        return None
    return base64.b64decode(report["png"]) if report.get("png") else None


def _preview(key: str, report: Mapping[str, Any]) -> Preview:
    if report.get("superseded"):
        raise WrongState({"preview": "another preview was asked for meanwhile"})
    if report["error"]:
        raise InvalidInput(report.get("fields") or {"preview": report["error"]})
    return Preview(
        key, **{name: report[name] for name in ("n", "channels", "height", "width", "targets", "values")}
    )

"""What a page about plugins is about: one source, or nothing in particular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.shortcuts import get_object_or_404

from accsite.apps.registry.models import PluginSource


def page_object(_user: Any, _name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return the source that the address of a page names; raises Http404 for one that is not kept."""
    if "sha256" not in arguments:
        return None
    return get_object_or_404(PluginSource, pk=arguments["sha256"])

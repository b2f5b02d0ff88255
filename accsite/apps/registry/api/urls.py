"""Addresses of plugins in the API."""

from __future__ import annotations

from accsite.apps.registry.api.views import PluginFileViewSet, PluginSourceViewSet, viewset_of
from accsite.apps.registry.models import PluginKind

router_entries = [
    *((f"registry/{kind.value}s", viewset_of(kind), f"registry-{kind.value}") for kind in PluginKind),
    ("plugin-files", PluginFileViewSet, "plugin-file"),
    ("plugin-sources", PluginSourceViewSet, "plugin-source"),
]

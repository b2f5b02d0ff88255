"""Plugins over HTTP: the classes of each kind, the files behind them, and every source that was ever used."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from acc.errors import InvalidInput
from accsite.api.common import narrowed, query
from accsite.apps.registry import approval, selectors
from accsite.apps.registry.api.serializers import (
    PluginFileSerializer,
    PluginSerializer,
    PluginSourceSerializer,
)
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource
from accsite.problems import Problem

ALL = query("all", "true: those whose file or class is gone as well", OpenApiTypes.BOOL, default=False)


@narrowed(ALL)
class PluginViewSet(viewsets.ReadOnlyModelViewSet[Plugin]):
    """Plugin classes of one kind by name. A class whose source was removed is still found by its name."""

    kind: ClassVar[PluginKind]
    ordering_fields = ("name", "label", "updated_at")
    serializer_class = PluginSerializer
    lookup_field = "name"
    lookup_value_regex = r"[^/.]+"
    queryset = Plugin.objects.none()

    def get_queryset(self) -> QuerySet[Plugin]:
        """Return the plugins of this kind; only those that can be chosen, in a list without ``all``."""
        if self.action == "list" and not _flag(self.request.query_params, "all"):
            return selectors.available(self.kind)
        return Plugin.objects.filter(kind=self.kind).order_by("name")


def viewset_of(kind: PluginKind) -> type[PluginViewSet]:
    """Return the viewset of one kind."""
    return type(
        f"{kind.name.title()}PluginViewSet",
        (PluginViewSet,),
        {"kind": kind, "__doc__": PluginViewSet.__doc__},
    )


@narrowed(query("broken", "true: only those", OpenApiTypes.BOOL, default=False))
class PluginFileViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PluginFile]
):
    """Files under the plugin folder as they are on disk now, with the error of each that could not be loaded."""

    serializer_class = PluginFileSerializer
    ordering_fields = ("path", "loaded_at")
    lookup_field = "path"
    lookup_value_regex = r"[^?]+\.py"
    queryset = PluginFile.objects.none()

    def get_queryset(self) -> QuerySet[PluginFile]:
        broken = self.action == "list" and _flag(self.request.query_params, "broken")
        return selectors.broken_files() if broken else PluginFile.objects.all()


@narrowed(query("waiting", "true: those that wait for approval", OpenApiTypes.BOOL, default=False))
class PluginSourceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PluginSource]
):
    """Sources by sha256, as jobs and checkpoints name them. The list holds what came from elsewhere."""

    serializer_class = PluginSourceSerializer
    ordering_fields = ("path", "first_seen_at")
    lookup_value_regex = "[0-9a-f]{64}"
    queryset = PluginSource.objects.none()

    def get_queryset(self) -> QuerySet[PluginSource]:
        """Return every source by its hash; in a list, what came from elsewhere, for administrators alone."""
        if self.action != "list":
            return PluginSource.objects.select_related("approved_by")
        found = selectors.sources_from_elsewhere(self.request.user)
        return found.waiting() if _flag(self.request.query_params, "waiting") else found

    @extend_schema(request=None, responses={200: PluginSourceSerializer, 409: Problem})
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, **_: Any) -> Response:
        """Let a source that came from elsewhere run here from now on; read its text first (administrators)."""
        return self._shown(approval.approve(actor=request.user, source=self.get_object()))

    @extend_schema(request=None, responses={200: PluginSourceSerializer, 409: Problem})
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, **_: Any) -> Response:
        """Take an approval back: nothing begins with this source any more (administrators)."""
        return self._shown(approval.withdraw(actor=request.user, source=self.get_object()))

    def _shown(self, source: PluginSource) -> Response:
        return Response(self.get_serializer(source).data)


def _flag(query: Any, name: str) -> bool:
    value = query.get(name, "false").lower()
    if value not in {"true", "1", "false", "0"}:
        raise InvalidInput({name: f"{value!r} is neither true nor false"})
    return value in {"true", "1"}

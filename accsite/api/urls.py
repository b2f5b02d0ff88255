"""``/api/v1/``: the routes of every app under one router, and the OpenAPI schema of them all.

An app offers ``router_entries`` (prefix, viewset, basename) and ``urlpatterns`` in its ``api/urls.py``.
"""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import module_has_submodule
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.routers import DefaultRouter

from accsite.api.views import no_such_endpoint

APPS = ("access", "live", "registry", "datasets", "training", "evaluation")

router = DefaultRouter()
_extra: list[URLPattern | URLResolver] = []
for _label in APPS:
    _package = import_module(f"{apps.get_app_config(_label).name}.api")
    if module_has_submodule(_package, "urls"):
        _urls = import_module(f"{_package.__name__}.urls")
        for _prefix, _viewset, _basename in getattr(_urls, "router_entries", ()):
            router.register(_prefix, _viewset, basename=_basename)
        _extra += getattr(_urls, "urlpatterns", [])

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    *_extra,
    path("", include(router.urls)),
    path("<path:path>", no_such_endpoint),
]

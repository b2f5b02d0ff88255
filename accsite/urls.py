"""Every address of the site; each app lists its own."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import module_has_submodule

from accsite.api.urls import APPS
from accsite.api.views import RedocView, SwaggerView
from accsite.apps.access.views import admin_sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    # One door for all: the admin's own form would have no limit on guesses.
    path("admin/login/", admin_sign_in),
    path("admin/", admin.site.urls),
    path("api/v1/", include("accsite.api.urls")),
    path("api/docs/", SwaggerView.as_view(), name="api-docs"),
    path("api/docs/redoc/", RedocView.as_view(), name="api-redoc"),
]
for _label in APPS:
    _module = apps.get_app_config(_label).module
    if _module is not None and module_has_submodule(_module, "urls"):
        urlpatterns.append(path("", include(import_module(f"{_module.__name__}.urls"))))

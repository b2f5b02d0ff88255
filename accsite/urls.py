"""Every address of the site; each app lists its own. ``/healthz`` and ``/readyz`` are answered before (health)."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

from accsite.api.views import RedocView, SwaggerView
from accsite.apps.access.views import admin_sign_in

handler400 = "accsite.problems.bad_request"
handler500 = "accsite.problems.server_error"


@login_not_required
def icon(_request: HttpRequest) -> HttpResponse:
    """Lead to the icon: browsers ask here for it where an answer, such as a file or a plain error, names none."""
    return redirect(static("favicon.svg"))


urlpatterns = [
    path("favicon.ico", icon),
    path("", include("accsite.apps.access.urls")),
    path("", include("accsite.apps.registry.urls")),
    path("", include("accsite.apps.jobs.urls")),
    path("", include("accsite.apps.datasets.urls")),
    path("", include("accsite.apps.training.urls")),
    path("", include("accsite.apps.trees.urls")),
    path("", include("accsite.apps.recipes.urls")),
    path("", include("accsite.apps.evaluation.urls")),
    path("", include("accsite.apps.runs.urls")),
    path("", include("accsite.apps.studies.urls")),
    path("", include("accsite.apps.latent.urls")),
    path("", include("accsite.apps.operations.urls")),
    path("", include("accsite.apps.notes.urls")),
    path("news/", include("accsite.apps.news.urls")),
    path("words/", include("accsite.glossary.urls")),
    path("search/", include("accsite.search.urls")),
    # One door for all: the admin's own form would have no limit on guesses.
    path("admin/login/", admin_sign_in),
    path("admin/", admin.site.urls),
    path("api/v1/", include("accsite.api.urls")),
    path("api/docs/", SwaggerView.as_view(), name="api-docs"),
    path("api/docs/redoc/", RedocView.as_view(), name="api-redoc"),
]

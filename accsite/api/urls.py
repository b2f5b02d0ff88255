"""``/api/v1/``: the routes of every app under one router, and the OpenAPI schema of them all."""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.routers import DefaultRouter

from accsite.actions.api import offer
from accsite.api.log import AuditViewSet
from accsite.api.me import MeView, TokenViewSet
from accsite.api.views import no_such_endpoint
from accsite.apps.datasets.api import urls as datasets
from accsite.apps.evaluation.api import urls as evaluation
from accsite.apps.jobs.api import urls as jobs
from accsite.apps.news.api import NewsView, ReadNewsView
from accsite.apps.notes.api import urls as notes
from accsite.apps.recipes.api import urls as recipes
from accsite.apps.registry.api import urls as registry
from accsite.apps.runs.api import urls as runs
from accsite.apps.studies.api import urls as studies
from accsite.apps.training.api import tracked
from accsite.apps.training.api import urls as training
from accsite.apps.trees.api import urls as trees
from accsite.search.api import SearchView

router = DefaultRouter()
for app in (registry, jobs, datasets, recipes, trees, training, evaluation, studies):
    for prefix, viewset, basename in app.router_entries:
        offer(viewset, basename)
        router.register(prefix, viewset, basename=basename)
router.register("tokens", TokenViewSet, basename="token")
router.register("audit", AuditViewSet, basename="audit")

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("me/", MeView.as_view(), name="me"),
    path("search/", SearchView.as_view(), name="search"),
    path("news/", NewsView.as_view(), name="news"),
    path("news/read/", ReadNewsView.as_view(), name="news-read"),
    path("", include(notes.urlpatterns)),
    path("", include(datasets.urlpatterns)),
    path("", include(trees.urlpatterns)),  # before the router, to which their names would be slugs
    path("", include(evaluation.urlpatterns)),
    path("", include(tracked.urlpatterns)),
    path("", include(runs.urlpatterns)),
    path("", include(router.urls)),
    path("<path:path>", no_such_endpoint),
]

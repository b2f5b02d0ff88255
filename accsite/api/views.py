"""What belongs to no app: the answer for an address that is not there, and the documentation's pages."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.decorators import api_view, schema
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
@schema(None)
def no_such_endpoint(request: Request, path: str) -> Response:
    """Answer 404 as a problem detail, so that a client never has to read HTML."""
    raise Http404(f"there is no {request.method} /api/v1/{path}; the endpoints are listed at /api/docs/")


class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger UI from our own files, without inline script or style."""

    url_name = "api:schema"
    template_name = "api/swagger.html"


class RedocView(SpectacularRedocView):
    """Redoc from our own files."""

    url_name = "api:schema"
    template_name = "api/redoc.html"

"""``/metrics`` for Prometheus."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from accsite.apps.operations.metrics import CONTENT_TYPE, exposition


@require_GET
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the figures to whoever has the token of ACC_METRICS_TOKEN, and to signed-in staff."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    token = settings.ACC_METRICS_TOKEN
    known = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    if not known and not request.user.is_staff:
        text = "send `Authorization: Bearer <ACC_METRICS_TOKEN>`, or sign in as staff\n"
        return HttpResponse(
            text,
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
        )
    return HttpResponse(exposition(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

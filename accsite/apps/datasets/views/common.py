"""What the pages of datasets share."""

from __future__ import annotations

from django.http import Http404, HttpResponse

from accsite.apps.datasets.models import Dataset


def find(slug: str) -> Dataset:
    """Return a dataset, one that was removed and can be restored as well; raises Http404."""
    found = Dataset.every.select_related("created_by").filter(slug=slug).first()
    if found is None:
        raise Http404(f"there is no dataset {slug!r}")
    return found


def lasting(data: bytes) -> HttpResponse:
    """Return a picture of content that never changes."""
    response = HttpResponse(data, content_type="image/png")
    response["Cache-Control"] = "private, max-age=86400"
    return response

"""What the views share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accsite.apps.training.models import Branch, Job

REFUSED = 422


def is_partial(request: HttpRequest) -> bool:
    """Return whether a script asks for one panel rather than a browser for a page."""
    return request.headers.get("HX-Request") == "true"


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """Return a redirect to the page that the form was on, if it is ours, else to ``otherwise``."""
    where = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(
        where, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(where if ours else otherwise)


def panel(request: HttpRequest, name: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, f"training/panels/{name}.html", context, status=status)


def points_url(job: Job | None) -> str:
    """Return where the loss history of a job is served."""
    return reverse("api:job-loss-history", args=[job.pk]) if job else ""


def bench_url(branch: Branch) -> str:
    """Return the address of a branch's workbench."""
    return reverse("training:workbench", args=[branch.experiment.slug, branch.slug])

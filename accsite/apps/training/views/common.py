"""What the views of training share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch


def panel(request: HttpRequest, name: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, f"training/panels/{name}.html", context, status=status)


def points_url(job: Job | None) -> str:
    """Return where the loss history of a job is served."""
    return reverse("api:job-loss-history", args=[job.pk]) if job else ""


def bench_url(branch: Branch) -> str:
    return reverse("training:workbench", args=[branch.experiment.slug, branch.slug])

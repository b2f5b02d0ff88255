"""Making datasets: the form of a generator with its preview, and the jobs that are at it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from acc.errors import InvalidInput
from accsite.apps.datasets.forms import GenerateForm, beginning
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import generation
from accsite.apps.datasets.services.generation import DatasetExists
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.selectors import asked
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.live import selectors as live
from accsite.apps.registry import previews
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.errors import WrongState
from accsite.forms import carried
from accsite.pages import REFUSED, actor, is_partial

CONFLICT = 409
MAKING_SHOWN = 8
RECENT = timedelta(minutes=10)
"""How long a job that has ended stays in view beside the datasets."""
PREVIEWED = 8


@require_http_methods(["GET", "POST"])
def generate(request: HttpRequest) -> HttpResponse:
    """Submit a job that makes a dataset; ``?generator=`` chooses the plugin, ``?from=`` a dataset to begin with."""
    versions = live.versions(["registry"])
    given, refused = request.GET.dict(), ""
    if given.get("from") and "generator" not in given:
        try:
            given["generator"] = generation.regeneration(given["from"])["generator"]
        except InvalidInput as error:
            refused = str(error)
            del given["from"]
    plugins, chosen, gone = registry.choose(PluginKind.GENERATOR, given.get("generator", ""))
    form = GenerateForm(
        chosen.params if chosen else [], request.POST or None, initial=beginning(chosen, given)
    )
    existing = None
    if request.method == "POST" and chosen:
        payload = form.payload()
        try:
            if gone:  # not a dataset of another generator than was asked for
                raise InvalidInput(generator=f"{gone} is gone from the plugins")
            generation.submit_generation(
                actor=actor(request),
                generator=chosen.name,
                params=form.params(),
                n=payload.get("n"),
                seed=payload.get("seed", 0),
                name=payload.get("name", ""),
                force="force" in request.POST,
                idempotency_key=payload.get("idempotency_key"),
            )
        except DatasetExists as error:
            existing = Dataset.objects.filter(slug=error.existing).first()
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("datasets:list")
    address = reverse("datasets:dataset-new")
    context = {
        "versions": versions,
        "place": "datasets",
        "form": form,
        "choices": plugins,
        "chosen": chosen,
        "existing": existing,
        "refused": refused,
        "broken_files": registry.broken_files(PluginKind.GENERATOR),
        "carried": carried(request.GET, form.fields),
        "form_url": address,
        "gone": gone,
        "previewed": range(PREVIEWED),
        "api_path": reverse("api:generator-generate"),
        "api_body": {"generator": chosen.name, "params": {}} if chosen else {},
        "cli": ["generate", chosen.name] if chosen else [],
    }
    status = CONFLICT if existing else REFUSED if form.is_bound and form.errors else 200
    name = "generate_form" if is_partial(request) else "generate"
    return render(request, f"datasets/{name}.html", context, status=status)


@require_POST
def preview(request: HttpRequest) -> JsonResponse:
    """Return eight images for the form as it stands, or ``errors`` by the names of its fields, or why there are none.

    A form that is half typed is no failure: whatever there is to tell is told with status 200.
    """
    chosen = registry.available(PluginKind.GENERATOR).filter(name=request.GET.get("generator")).first()
    form = GenerateForm(chosen.params if chosen else [], request.POST)
    who = f"{request.user.pk}:{request.GET.get('page', '')[:64]}"
    try:
        made = previews.make(
            who=who,
            generator=request.GET.get("generator"),
            params=form.params(),
            seed=request.POST.get("seed", 0),
        )
    except previews.NoPreview as error:
        return JsonResponse({"errors": {"": [str(error)]}})
    except WrongState:
        return JsonResponse({"superseded": True})
    except InvalidInput as error:
        if set(error.fields) == {"preview"}:
            return JsonResponse({"errors": {"": list(error.fields["preview"])}})
        form.refuse(error)
        return JsonResponse(
            {"errors": {"" if name == "__all__" else name: said for name, said in form.errors.items()}}
        )
    return JsonResponse({**asdict(made), "url": reverse("api:generator-preview-picture", args=[made.key])})


@require_GET
def making(request: HttpRequest) -> HttpResponse:
    """Return the panel of the jobs that make datasets."""
    return render(request, "datasets/making.html", making_context(request.user))


def making_context(user: Any) -> dict[str, Any]:
    """Return the jobs that make datasets now, and those that have ended a moment ago."""
    versions = live.versions(["jobs"])
    jobs = Job.objects.visible_to(user).filter(kind__in=[JobKind.GENERATE, JobKind.IMPORT])
    shown = [
        *jobs.filter(state__in=ACTIVE).order_by("-id")[:MAKING_SHOWN],
        *jobs.filter(finished_at__gt=timezone.now() - RECENT).order_by("-id")[:MAKING_SHOWN],
    ][:MAKING_SHOWN]
    slugs = [job.result.get("slug") for job in shown if job.state == JobState.SUCCEEDED]
    made = Dataset.objects.in_bulk([slug for slug in slugs if slug], field_name="slug")
    return {
        "versions": versions,
        "making": [
            {"job": job, "asked": asked(job), "made": made.get(job.result.get("slug", ""))} for job in shown
        ],
        "making_url": reverse("datasets:dataset-jobs"),
    }

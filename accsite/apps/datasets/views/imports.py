"""Importing datasets: files are uploaded, looked at by a job, mapped, previewed, and taken in."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from acc.errors import InvalidInput
from accsite.apps.access.permissions import may_change
from accsite.apps.datasets import looks, mapping_options
from accsite.apps.datasets.forms import ImportForm
from accsite.apps.datasets.mapping_form import MappingForm
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import imports, on_server, uploads
from accsite.apps.datasets.views.common import lasting
from accsite.apps.jobs.models import Job
from accsite.apps.live import selectors as live
from accsite.pages import REFUSED, actor, is_partial


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """Look at files by a job, ``?like=<dataset>`` by its mapping; scripts send the same form to the API."""
    begun = {"idempotency_key": uuid4().hex, "like": request.GET.get("like", "")}
    form = ImportForm(initial=begun)
    if request.method == "POST":
        form = ImportForm(request.POST, request.FILES)
        try:
            job = _submit_look(request, form.payload())
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("datasets:dataset-looked", job.pk)
    like = form["like"].value()
    context = {
        "place": "datasets",
        "form": form,
        "like": Dataset.objects.filter(slug=like).first() if like else None,
        "offered": on_server.offered(),
        "most": settings.ACC_MAX_DATASET_BYTES,
        "most_files": settings.DATA_UPLOAD_MAX_NUMBER_FILES,
        "api_path": reverse("api:dataset-import"),
        "looked": reverse("datasets:dataset-looked", args=[0]),
        "cli": ".venv/bin/python manage.py import_dataset FILE --look",
        "curl": 'curl -fsS -H "Authorization: Token $ACC_TOKEN" -F look=true -F file=@FILE '
        + request.build_absolute_uri(reverse("api:dataset-import")),
    }
    status = REFUSED if form.is_bound and form.errors else 200
    return render(request, "datasets/import.html", context, status=status)


def _submit_look(request: HttpRequest, payload: dict[str, Any]) -> Job:
    name, path = payload.get("name", ""), payload.get("path", "")
    mapping = imports.mapping_of(payload["like"]) if payload.get("like") else None
    imports.check_import(name=name, mapping=mapping)
    files, labels = request.FILES.getlist("file"), request.FILES.get("labels")
    return imports.submit_import(
        actor=actor(request),
        upload=uploads.source_of(files, path=path),
        labels=uploads.keep(labels, field="labels") if labels is not None else None,
        name=name,
        mapping=mapping,
        look=True,
        idempotency_key=payload.get("idempotency_key"),
    )


@require_http_methods(["GET", "POST"])
def looked(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a job has found in files and what is to become of it; look again by what was filled in, or import."""
    versions = live.versions(["jobs"])
    job = _look(request, pk)
    look = looks.of(job)
    form = _form(job, look, request.POST if request.method == "POST" else None) if look else None
    if request.method == "POST" and look is not None and form is not None:
        preview = "preview" in request.POST
        try:
            mapping = form.asked().model_dump(mode="json")
            made = imports.submit_import(
                actor=actor(request),
                # That whose result is shown: of a preview that failed, the look before it.
                looked=imports.looked_at(request.user, look.job.pk),
                name=form.payload().get("name", ""),
                mapping=mapping,
                look=preview,
                idempotency_key=_key(form.payload().get("idempotency_key", ""), mapping, preview),
            )
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("datasets:dataset-looked", made.pk) if preview else redirect("datasets:list")
    elif request.method == "POST":
        imports.looked_at(request.user, job.pk)
    kept = imports.kept_by(job)
    context = {
        "versions": versions,
        "place": "datasets",
        "job": job,
        "look": look,
        "kept": kept,
        "made": Dataset.objects.filter(slug=kept.result.get("slug")).first() if kept else None,
        "may_keep": may_change(request.user, job),
        "form": form,
        "cli": _command(look) if look else "",
        "looked_url": reverse("datasets:dataset-looked", args=[job.pk]),
    }
    name = "looked_panel" if is_partial(request) else "looked"
    status = REFUSED if request.method == "POST" and form is not None and form.errors else 200
    return render(request, f"datasets/{name}.html", context, status=status)


def _form(job: Job, look: looks.Look, data: Any) -> MappingForm:
    told: dict[str, Any] = {
        "name": job.spec.get("name", ""),
        "choices": {question.field: question.choices for question in look.questions},
    }
    form = MappingForm(look.source, look.mapping, data, **told)
    if data is None and look.errors:
        form = MappingForm(look.source, look.mapping, form.filled(), **told)
        form.refuse(InvalidInput(look.errors))
    return form


def _key(key: str, mapping: dict[str, Any], preview: bool) -> str | None:
    """Return a key by which the same form, sent twice, is done once, and not one that was changed meanwhile."""
    if not key:
        return None
    told = hashlib.sha256(json.dumps([mapping, preview], sort_keys=True).encode()).hexdigest()
    return f"{key[:32]}-{told[:16]}"


def _command(look: looks.Look) -> str:
    """Return the command that imports the same file by the same mapping."""
    spec = look.job.spec
    file, labels = (
        each.get("path") or each.get("name", "") for each in (spec["upload"], spec["labels"] or {})
    )
    return mapping_options.command(look.mapping, file, labels)


def _look(request: HttpRequest, pk: int) -> Job:
    return get_object_or_404(imports.looks_of(request.user), pk=pk)


@require_GET
def picture(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the images of a preview in one row."""
    data = looks.picture_of(_look(request, pk))
    if data is None:
        raise Http404("there is no preview of this, or it is kept no longer")
    return lasting(data)

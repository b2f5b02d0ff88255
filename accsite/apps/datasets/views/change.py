"""What may be done to a dataset: another name, removal, and its undoing."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from acc.errors import InvalidInput
from accsite.apps.datasets import services
from accsite.apps.datasets.uses import users_of
from accsite.apps.datasets.views.common import find
from accsite.apps.datasets.views.detail import head
from accsite.apps.live import selectors as live
from accsite.pages import REFUSED, is_partial


@require_POST
def rename(request: HttpRequest, slug: str) -> HttpResponse:
    """Give a dataset another name; a refused one stays in its field beside the reason."""
    versions = live.versions(["datasets"])
    dataset, name = find(slug), request.POST.get("name", "").strip()
    refused = ""
    try:
        services.rename(actor=request.user, dataset=dataset, name=name)
    except InvalidInput as error:
        refused = " ".join(said for all_said in error.fields.values() for said in all_said)
    if is_partial(request):
        context = {"versions": versions, **head(request, dataset), "refused": refused, "typed": name}
        return render(request, "datasets/head.html", context, status=REFUSED if refused else 200)
    if refused:
        messages.error(request, refused)
    return redirect("datasets:detail", slug)


@require_http_methods(["GET", "POST"])
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask whether a dataset is to be removed, by name; remove it. The list offers to undo it."""
    dataset = find(slug)
    if request.method == "GET":
        context = {"dataset": dataset, "users": users_of(dataset), "place": "datasets"}
        return render(request, "datasets/remove.html", context)
    try:
        services.remove(actor=request.user, dataset=dataset)
    except InvalidInput as error:
        messages.error(request, " ".join(said for all_said in error.fields.values() for said in all_said))
        return redirect("datasets:detail", slug)
    return redirect("datasets:list")


@require_POST
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a removed dataset back."""
    try:
        services.restore(actor=request.user, dataset=find(slug))
    except InvalidInput as error:
        messages.error(request, " ".join(said for all_said in error.fields.values() for said in all_said))
        return redirect(f"{reverse('datasets:list')}?removed=1")
    return redirect("datasets:detail", slug) if "stay" in request.POST else redirect("datasets:list")

"""Models drawn: that of a half-filled form, and that of a checkpoint."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.description import ModelDescription
from acc.errors import InvalidInput
from accsite.apps.registry import descriptions
from accsite.apps.registry.approval import NotApproved
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.services.experiments import clean_model
from accsite.apps.trees.forms.experiments import ExperimentForm
from accsite.apps.trees.pages import tree as tree_pages
from accsite.apps.trees.pages.model import model_shown
from accsite.apps.trees.selectors.models import describe_checkpoint
from accsite.errors import WrongState
from accsite.pages import is_partial

ARCHITECTURE = "model.architecture"


@require_POST
def draft(request: HttpRequest) -> JsonResponse:
    """Return the model of a form as it stands drawn, or ``errors`` by the names of its fields, or why there is none.

    A form that is half typed is no failure: whatever there is to tell is told with status 200.
    """
    named = request.GET.get("architecture", "")
    chosen = Plugin.objects.filter(kind=PluginKind.MODEL, available=True, name=named).first()
    if chosen is None:
        return JsonResponse(
            {"errors": {"": [f"{named[:80]!r} is not among the architectures; choose another"]}}
        )
    form = ExperimentForm(chosen.params, request.POST)
    who = f"{request.user.pk}:{request.GET.get('page', '')[:64]}"
    try:
        found = described(form, chosen, who)
    except descriptions.NoDescription as error:
        return JsonResponse({"errors": {"": [str(error)]}})
    except InvalidInput as error:
        if isinstance(error, WrongState) and not isinstance(error, NotApproved):
            return JsonResponse({"superseded": True})
        told = refuse(form, error)
        fields = {name: list(said) for name, said in form.errors.items() if name != "__all__"}
        rest = [*told, *form.non_field_errors()]
        errors = {**fields, **({"": rest} if rest else {})}
        return JsonResponse({"errors": errors, "groups": form.group_errors})
    html = render_to_string("trees/model/drawing.html", model_shown(found), request)
    return JsonResponse({"html": html, "parameters": found.parameters})


@require_GET
def of_checkpoint(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the model of a checkpoint: a page, or what the panel on the checkpoint's own page holds."""
    checkpoint = tree_pages.find_checkpoint(request.user, pk)
    context: dict[str, Any] = {
        "place": "experiments",
        "versions": {},
        "checkpoint": checkpoint,
        "experiment": checkpoint.experiment,
        "model_url": reverse("trees:checkpoint-model", args=[pk]),
    }
    try:
        context |= model_shown(describe_checkpoint(checkpoint, who=str(request.user.pk)))
    except (InvalidInput, descriptions.NoDescription) as error:
        context["model_refused"] = sentences(error)
    if is_partial(request):
        return render(request, "trees/model/shown.html", context)
    return render(request, "trees/model/page.html", context)


def described(form: ExperimentForm, chosen: Plugin, who: str) -> ModelDescription:
    """Return what the model of a form is made of; raises as ``descriptions.describe`` does."""
    spec = clean_model(form.model(chosen.name))
    return descriptions.describe(who=who, model=spec, sha256=chosen.source_id)


def refuse(form: ExperimentForm, error: InvalidInput) -> list[str]:
    """Show each sentence beside its field, and return those about the architecture itself."""
    rest = {where: said for where, said in error.fields.items() if where != ARCHITECTURE}
    if rest:
        form.refuse(InvalidInput(rest))
    else:
        form.full_clean()
    return list(error.fields.get(ARCHITECTURE, ()))


def sentences(error: Exception) -> str:
    """Return what an error says, without the names of fields that no page shows here."""
    if isinstance(error, InvalidInput):
        return " ".join(said for each in error.fields.values() for said in each)
    return str(error)

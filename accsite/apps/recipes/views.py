"""Recipes: those there are, the form that starts one, and the page of a run."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from acc.errors import InvalidInput
from accsite.apps.jobs.selectors import asked
from accsite.apps.jobs.services import control as control_job
from accsite.apps.live import selectors as live
from accsite.apps.recipes import pages, selectors
from accsite.apps.recipes.forms import RecipeForm
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.services import recipes as services
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.pages import REFUSED, actor, back, is_partial

RUNS_A_PAGE = 30


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the recipes that can be run, and the runs, newest first."""
    versions = live.versions(["registry", "recipes", "jobs"])
    seen = RecipeRun.objects.visible_to(request.user).alone().select_related("job", "created_by")
    runs = Paginator(seen, RUNS_A_PAGE).get_page(request.GET.get("page"))
    made = pages.made(request.user)
    context = {
        "versions": versions,
        "place": "recipes",
        "recipes": [(recipe, made.get(recipe.name)) for recipe in registry.available(PluginKind.RECIPE)],
        "broken": registry.broken_files(PluginKind.RECIPE),
        "page": runs,
        "recipes_url": f"{reverse('recipes:recipes')}?page={runs.number}",
    }
    if is_partial(request):
        return render(request, "recipes/panels/recipes.html", context)
    return render(request, "recipes/recipes.html", context)


@require_http_methods(["GET", "POST"])
def run_form(request: HttpRequest, name: str) -> HttpResponse:
    """Show the form that its parameters make of a recipe, and start a run."""
    versions = live.versions(["registry"])
    recipe = Plugin.objects.filter(kind=PluginKind.RECIPE, name=name).select_related("source").first()
    if recipe is None:
        raise Http404(f"there is no recipe {name!r}")
    if request.method == "POST":
        form = RecipeForm(recipe.params, request.POST)
        payload = form.payload()
        try:
            run = services.submit_recipe(
                actor=actor(request),
                recipe=recipe.name,
                params=form.params(),
                seed=payload.get("seed", 0),
                idempotency_key=payload.get("idempotency_key"),
            )
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("recipes:recipe-run", run.pk)
    else:
        form = RecipeForm.for_recipe(recipe)
    context = {
        "versions": versions,
        "place": "recipes",
        "form": form,
        "recipe": recipe,
        "form_url": reverse("recipes:recipe", args=[recipe.name]),
    }
    status = REFUSED if form.is_bound and form.errors else 200
    if is_partial(request):
        return render(request, "recipes/panels/recipe_form.html", context, status=status)
    return render(request, "recipes/recipe.html", context, status=status)


@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one run: phases, steps, log, result, and the branches that it made."""
    context = run_context(request.user, pk)
    if is_partial(request):
        return render(request, "recipes/panels/recipe_run.html", context)
    return render(request, "recipes/recipe_run.html", context)


def run_context(user: Any, pk: int) -> dict[str, Any]:
    """Return what the page of a run shows, read after the versions of its topics, one of which only its row names."""
    found = find(user, pk)
    topics = [f"recipe:{found.pk}", *([f"job:{found.job_id}"] if found.job_id else [])]
    versions = live.versions(topics)
    found = find(user, pk)
    shown = selectors.run_page(found)
    return {
        "versions": versions,
        "place": "recipes",
        "run": found,
        "job": found.job,
        "job_topic": topics[-1],
        "run_topic": topics[0],
        "asked": asked(found.job) if found.job else "",
        "shown": shown,
        "gantt": pages.gantt(shown),
        "run_url": reverse("recipes:recipe-run", args=[found.pk]),
        "again_api": reverse("api:recipe-start-list"),
        "again_body": {"recipe": found.recipe, "params": found.params, "seed": found.seed},
        "again_cli": _again(found),
    }


def _again(found: RecipeRun) -> list[str]:
    """Return manage.py's arguments that run the same recipe again."""
    plain = {name: v if isinstance(v, str) else json.dumps(v) for name, v in found.params.items()}
    params = (f"{name}={value}" for name, value in plain.items())
    flat = [word for param in params for word in ("--param", param)]
    return ["run_recipe", found.recipe, *flat, "--seed", str(found.seed)]


@require_POST
def control(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop a run, or resume one that was stopped or failed."""
    found = find(request.user, pk)
    kind = request.POST.get("kind", "")
    try:
        if kind == "resume":
            services.resume_recipe(actor=actor(request), run=found)
        elif kind == "stop" and found.job is not None:
            control_job.stop(actor=actor(request), job=found.job)
        else:
            raise InvalidInput(kind=f"{kind!r} is not something a run can be asked; choose stop or resume")
    except InvalidInput as error:
        if is_partial(request):
            refused = {**run_context(request.user, pk), "refused": str(error)}
            return render(request, "recipes/panels/recipe_run.html", refused, status=REFUSED)
        messages.error(request, str(error))
    if is_partial(request):
        return render(request, "recipes/panels/recipe_run.html", run_context(request.user, pk))
    return back(request, reverse("recipes:recipe-run", args=[pk]))


def find(user: Any, pk: int) -> RecipeRun:
    """Return a run that ``user`` may see; raises Http404."""
    try:
        return selectors.find_run(user, pk)
    except InvalidInput as error:
        raise Http404(str(error)) from None

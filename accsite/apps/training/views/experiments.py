"""Experiments and the forms that make experiments and datasets."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from acc.errors import InvalidInput
from acc.specs import ImageShape
from accsite.apps.datasets.models import Dataset
from accsite.apps.live import selectors as live
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training import pages, task_pages
from accsite.apps.training.forms import ExperimentForm, GenerateForm, ParamsForm
from accsite.apps.training.models import Experiment
from accsite.apps.training.services import experiments as experiment_services
from accsite.apps.training.services import jobs as job_services
from accsite.apps.training.views.common import REFUSED, is_partial, panel
from accsite.apps.training.views.workbench import actor


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the experiments."""
    context = {
        "versions": live.versions(["experiments"]),
        "place": "experiments",
        "experiments": pages.experiments(request.user),
        "experiments_url": reverse("training:experiments"),
    }
    if is_partial(request):
        return panel(request, "experiments", context)
    return render(request, "training/experiments.html", context)


@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one experiment: its model, branches and checkpoints."""
    experiment = pages.find_experiment(request.user, slug)
    context = checkpoints_context(experiment)
    if is_partial(request):
        return panel(request, "checkpoints", context)
    return render(request, "training/experiment.html", {**context, **pages.model_facts(experiment)})


def checkpoints_context(experiment: Experiment) -> dict[str, Any]:
    """Return what the branches and checkpoints of an experiment's page show."""
    topic = f"checkpoints:{experiment.pk}"
    return {
        "versions": live.versions([topic]),
        "place": "experiments",
        "experiment": experiment,
        "branches": pages.branches(experiment),
        "checkpoints": pages.checkpoints(experiment),
        "checkpoints_topic": topic,
        "checkpoints_url": reverse("training:experiment", args=[experiment.slug]),
    }


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """Create an experiment with a branch ``main``; ``?architecture=`` chooses the model."""
    versions = live.versions(["registry"])
    plugins, chosen = choose(PluginKind.MODEL, request.GET.get("architecture"))
    initial = {**model_defaults(), **request.GET.dict()}
    form = ExperimentForm(chosen.params if chosen else [], request.POST or None, initial=initial)
    if request.method == "POST" and chosen:
        try:
            made = experiment_services.create_experiment(
                actor=actor(request), name=request.POST.get("name", ""), model=form.model(chosen.name)
            )
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("training:workbench", made.slug, "main")
    context = {
        "versions": versions,
        "kind": PluginKind.MODEL,
        "place": "experiments",
        "heading": "New experiment",
        "submit": "Create the experiment",
        "back": "Experiments",
        "back_url": reverse("training:experiments"),
        "choices_label": "Architecture",
        "choice_name": "architecture",
        "none_title": "No model architecture is known",
        "none_text": "The plugin watcher fills the list when it starts.",
    }
    return form_page(request, form, plugins, chosen, context)


@require_http_methods(["GET", "POST"])
def generate(request: HttpRequest) -> HttpResponse:
    """Submit a job that makes a dataset; ``?generator=`` chooses the plugin."""
    versions = live.versions(["registry"])
    plugins, chosen = choose(PluginKind.GENERATOR, request.GET.get("generator"))
    initial = {"name": chosen.label if chosen else "", "seed": "0", **request.GET.dict()}
    form = GenerateForm(chosen.params if chosen else [], request.POST or None, initial=initial)
    if request.method == "POST" and chosen:
        payload = form.payload()
        try:
            job = job_services.submit_generation(
                actor=actor(request),
                generator=chosen.name,
                params=form.params(),
                n=payload.get("n"),
                seed=payload.get("seed", 0),
                name=payload.get("name", ""),
            )
        except InvalidInput as error:
            form.refuse(error)
        else:
            messages.success(request, f"Job {job.pk} makes the dataset; it appears here when it is done.")
            return redirect("training:job", job.pk)
    context = {
        "versions": versions,
        "kind": PluginKind.GENERATOR,
        "place": "datasets",
        "heading": "New dataset",
        "submit": "Generate",
        "back": "Datasets",
        "back_url": reverse("datasets:list"),
        "choices_label": "Generator",
        "choice_name": "generator",
        "none_title": "No generator is known",
        "none_text": "Put one under plugins/generators/; it appears here when the file is saved.",
    }
    return form_page(request, form, plugins, chosen, context)


def choose(kind: PluginKind, name: str | None) -> tuple[list[Plugin], Plugin | None]:
    """Return the plugins of a kind and the one asked for, else the first."""
    plugins = list(Plugin.objects.filter(kind=kind, available=True))
    return plugins, next(
        (plugin for plugin in plugins if plugin.name == name), plugins[0] if plugins else None
    )


def model_defaults() -> dict[str, Any]:
    """Return the values a new experiment's form begins with: the shape of the newest dataset."""
    dataset = Dataset.objects.order_by("-id").first()
    shape = dataset or ImageShape()
    return {
        "channels": shape.channels,
        "height": shape.height,
        "width": shape.width,
        "latent_dim": 16,
        "seed": 0,
    }


def form_page(
    request: HttpRequest,
    form: ParamsForm,
    plugins: list[Plugin],
    chosen: Plugin | None,
    context: dict[str, Any],
) -> HttpResponse:
    """Return a page of one form whose fields depend on the plugin chosen, or its part that follows the plugins."""
    status = REFUSED if form.is_bound and form.errors else 200
    shown = {
        "form": form,
        "choices": plugins,
        "chosen": chosen,
        "broken_files": task_pages.broken_files(context["kind"]),
        "carried": task_pages.carried(request.GET, form.fields),
        "form_url": request.path,
        "asked": request.GET.get(context["choice_name"], ""),
        **context,
    }
    if is_partial(request):
        return panel(request, "plugin_form", shown, status=status)
    return render(request, "training/form_page.html", shown, status=status)

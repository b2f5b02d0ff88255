"""Experiments: the list, the page of one with its tree, and what is done to a tree as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from acc.errors import InvalidInput
from accsite import blobs
from accsite.actions import perform
from accsite.apps.access.permissions import may_change
from accsite.apps.live import selectors as live
from accsite.apps.registry import descriptions
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Experiment, Visibility
from accsite.apps.training.services.beginnings import begin_experiment
from accsite.apps.trees import measures
from accsite.apps.trees.actions.restore_checkpoints import RestoreCheckpoints
from accsite.apps.trees.forms.experiments import BEGIN, GROUP_FIELDS, ExperimentForm
from accsite.apps.trees.forms.presets import FROM_TARGETS, presets
from accsite.apps.trees.forms.tree import ImportForm, RetentionForm
from accsite.apps.trees.pages import tree as tree_pages
from accsite.apps.trees.pages.listing import experiment_rows
from accsite.apps.trees.pages.model import model_shown, newest_experiments
from accsite.apps.trees.services import portable, retention
from accsite.apps.trees.views import checkpoints, models
from accsite.apps.trees.views.common import panel
from accsite.apps.trees.views.filling import fill
from accsite.forms import carried
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, is_partial

TOOLS = (
    ("palette", "Colours", (("viridis", "viridis"), ("cividis", "cividis"))),
    ("scale", "Scale of the colours", (("rank", "by rank"), ("size", "by size"))),
    ("axis", "Across", (("step", "steps across"), ("depth", "depth across"))),
)
"""How the tree is drawn: name in the address, what it is called, and the choices, the usual one first."""
MOST_LANES = 9
USUAL_ARCHITECTURE = "FactorSlotAutoencoder"


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the experiments."""
    context = index_context(request)
    if is_partial(request):
        return panel(request, "experiments", context)
    return render(request, "trees/experiments.html", context)


def index_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the list shows."""
    return {
        "versions": live.versions(["experiments", "jobs"]),
        "place": "experiments",
        "rows": experiment_rows(request.user),
        "experiments_url": reverse("trees:experiments"),
        "import_form": ImportForm(initial={"visibility": Visibility.SITE}, auto_id="import-%s"),
    }


@require_POST
def take_in(request: HttpRequest) -> HttpResponse:
    """Import a file that another installation exported, as an experiment of its own."""
    form = ImportForm(request.POST, request.FILES, auto_id="import-%s")
    upload = request.FILES.get("file")
    try:
        if upload is None:
            raise InvalidInput({"file": "choose a file that ACC exported"})
        path = blobs.scratch_copy(upload.chunks(), str(upload.name))
        try:
            made = portable.import_checkpoint(
                actor=actor(request),
                path=path,
                name=request.POST.get("name") or None,
                visibility=request.POST.get("visibility") or Visibility.SITE,
            )
        finally:
            shutil.rmtree(path.parent, ignore_errors=True)
    except InvalidInput as error:
        form.refuse(error)
        context = {**index_context(request), "import_form": form, "import_open": True}
        return render(request, "trees/experiments.html", context, status=REFUSED)
    for note in made.notes:
        messages.info(request, note)
    return redirect("trees:experiment", made.checkpoint.experiment.slug)


@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one experiment: its tree, coloured by ``?metric=``, and beside it the node ``?node=``."""
    experiment = tree_pages.find_experiment(request.user, slug)
    if is_partial(request):
        if request.GET.get("panel") == "prune":
            return panel(request, "prune", prune_context(request, experiment))
        name = "checkpoints" if request.GET.get("panel") == "checkpoints" else "tree"
        return panel(request, name, tree_context(request, experiment))
    return whole_page(request, experiment)


def whole_page(request: HttpRequest, experiment: Experiment, status: int = 200, **extra: Any) -> HttpResponse:
    """Return the page of an experiment; what ``extra`` has stands in place of what the page would show."""
    asked = request.GET.get("node", "")
    known = experiment.checkpoints.filter(pk=row_id(asked)).first()
    parts = [tree_context(request, experiment), prune_context(request, experiment)]
    if known:
        node = tree_pages.find_checkpoint(request.user, known.pk)
        parts.insert(0, checkpoints.context(request, node))
    context = {name: value for part in parts for name, value in part.items()}
    context["versions"] = {name: version for part in parts for name, version in part["versions"].items()}
    shown = {**context, **tree_pages.model_facts(experiment), **extra}
    return render(request, "trees/experiment.html", shown, status=status)


def tree_context(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    """Return what the tree and the table of its checkpoints show; the versions are read before anything else."""
    topic = f"checkpoints:{experiment.pk}"
    versions = live.versions([topic])
    metrics = measures.names(experiment.pk)
    asked = request.GET.get("metric", "")
    metric = asked if asked in metrics else measures.TOTAL
    shown, rows = tree_pages.checkpoint_rows(experiment, metric, request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    here = reverse("trees:experiment", args=[experiment.slug])
    tools = [
        {"name": name, "label": label, "choices": choices, "chosen": _one_of(choices, request.GET.get(name))}
        for name, label, choices in TOOLS
    ]
    chosen = urlencode({"metric": metric, **{str(tool["name"]): tool["chosen"] for tool in tools}})
    lines = tree_pages.branches(experiment)
    return {
        "versions": versions,
        "place": "experiments",
        "experiment": experiment,
        "branches": lines,
        "lanes": min(max(1, len(lines)), MOST_LANES),
        "page": shown,
        "rows": rows,
        "metric": metric,
        "metrics": list(metrics) or [measures.TOTAL],
        "tools": tools,
        "checkpoints_topic": topic,
        "tree_url": f"{here}?panel=tree&{chosen}",
        "table_url": f"{here}?panel=checkpoints&page={shown.number}&{chosen}",
        "node_template": reverse("trees:checkpoint", args=[0]),
        "table_query": query.urlencode(),
        "tree_api": reverse("api:experiment-tree", args=[experiment.slug]),
    }


def _one_of(choices: Sequence[tuple[str, str]], asked: str | None) -> str:
    return next((value for value, _ in choices if value == asked), choices[0][0])


def prune_context(
    request: HttpRequest, experiment: Experiment, form: RetentionForm | None = None
) -> dict[str, Any]:
    """Return what pruning keeps and would remove, and what was removed and can be restored."""
    topic = f"checkpoints:{experiment.pk}"
    return {
        "versions": live.versions([topic, "experiments"]),
        "experiment": experiment,
        "retention_form": form or RetentionForm(experiment),
        "checkpoints_topic": topic,
        "prune_url": reverse("trees:experiment", args=[experiment.slug]) + "?panel=prune",
        "prune_cli": f"prune {experiment.slug} --dry-run",
        "prune_body": {"dry_run": True},
        "undo_words": tree_pages.undo_words(),
        "prune_api": reverse("api:experiment-prune", args=[experiment.slug]),
        "changeable": may_change(request.user, experiment),
        **tree_pages.prune_page(experiment, asked=request.GET.get("plan") == "1"),
    }


@require_POST
def keep(request: HttpRequest, slug: str) -> HttpResponse:
    """Set what pruning keeps, prune, or restore what was removed."""
    experiment = tree_pages.find_experiment(request.user, slug)
    form: RetentionForm | None = None
    who = actor(request)
    try:
        if "restore" in request.POST:
            data = {"deletion": request.POST["restore"]}
            perform(RestoreCheckpoints, actor=who, thing=experiment, data=data)
        elif "prune" in request.POST:
            retention.prune(actor=who, experiment=experiment)
        elif "site" in request.POST:
            retention.set_retention(actor=who, experiment=experiment, policy=None)
        else:
            form = RetentionForm(experiment, request.POST)
            retention.set_retention(actor=who, experiment=experiment, policy=form.payload())
            form = None
    except InvalidInput as error:
        if form is not None:
            form.refuse(error)
        refused = {"prune_refused": "" if form is not None else str(error)}
        context = {**prune_context(request, experiment, form), **refused}
        if is_partial(request):
            return panel(request, "prune", context, status=REFUSED)
        del context["experiment"]  # the page's own
        return whole_page(request, experiment, status=REFUSED, **context)
    if is_partial(request):
        if "restored" in request.POST:  # asked in the place of a node that was deleted
            restored = {"experiment": experiment, "restored": True}
            return panel(request, "checkpoint_gone", restored)
        return panel(request, "prune", prune_context(request, experiment))
    return redirect("trees:experiment", slug)


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """Create an experiment with a branch ``main``; ``?architecture=`` chooses the model, ``?method=`` a method."""
    versions = live.versions(["registry", "datasets"])
    filled = fill(request)
    asked = filled.fields.setup.architecture if filled.fields else request.GET.get("architecture", "")
    plugins, chosen, gone = registry.choose(PluginKind.MODEL, asked, USUAL_ARCHITECTURE)
    fills = request.method == "POST" and "fill" in request.POST
    data = request.POST if request.method == "POST" and not fills else None
    form = ExperimentForm(
        chosen.params if chosen else [],
        data,
        values=request.POST if fills else request.GET,
        method=filled.method,
        made=filled.fields,
    )
    shown_model: dict[str, Any] = {}
    if fills:
        pass
    elif request.method == "POST" and chosen and "draw" in request.POST:
        shown_model = draw(request, form, chosen)
    elif request.method == "POST" and chosen:
        try:
            if filled.refused and filled.method is None:  # not an experiment without what was asked for
                raise InvalidInput({"method": filled.refused})
            if gone:
                raise InvalidInput({"architecture": f"{gone} is gone from the plugins"})
            made = begin_experiment(
                dataset=form.begins_on,
                actor=actor(request),
                name=request.POST.get("name", ""),
                model=form.model(chosen.name),
                visibility=request.POST.get("visibility") or Visibility.SITE,
                method=filled.method.name if filled.method else "",
                method_params=form.method_params(request.POST),
            )
        except InvalidInput as error:
            form.refuse(error)
        else:
            return redirect("training:workbench", made.slug, "main")
    status = REFUSED if form.is_bound and (form.errors or form.group_errors) else 200
    shown = [*form.fields, *GROUP_FIELDS, FROM_TARGETS, BEGIN]
    context = {
        "versions": versions,
        "place": "experiments",
        "form": form,
        "choices": plugins,
        "chosen": chosen,
        "gone": gone,
        "broken_files": registry.broken_files(PluginKind.MODEL),
        "carried": carried(request.GET, shown),
        "form_url": request.path,
        "presets": presets(plugins, newest_experiments(request.user)),
        "methods": registry.available(PluginKind.METHOD).order_by("label"),
        "filled": filled,
        **shown_model,
    }
    if is_partial(request):
        return panel(request, "experiment_form", context, status=status)
    return render(request, "trees/experiment_new.html", context, status=status)


def draw(request: HttpRequest, form: ExperimentForm, chosen: Plugin) -> dict[str, Any]:
    """Return the drawing of a form that was sent for it, as without a script; what is wrong stands in the form."""
    try:
        return model_shown(models.described(form, chosen, f"{actor(request).pk}:sent"))
    except descriptions.NoDescription as error:
        return {"model_refused": str(error)}
    except InvalidInput as error:
        return {"model_refused": " ".join(models.refuse(form, error)) or "See the marked fields."}

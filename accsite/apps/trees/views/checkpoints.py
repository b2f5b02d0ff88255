"""One checkpoint: what is to be read of it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.actions import ActionType, perform, place, words
from accsite.actions.forms import ActionForm
from accsite.actions.pages import shown
from accsite.apps.access.permissions import may_change
from accsite.apps.live import selectors as live
from accsite.apps.training.actions.evaluate_checkpoint import EvaluateCheckpoint
from accsite.apps.training.actions.load_checkpoint import LoadCheckpoint
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.services.code import refused_code
from accsite.apps.trees.actions.delete_checkpoint import DeleteCheckpoint
from accsite.apps.trees.actions.fork_checkpoint import ForkCheckpoint
from accsite.apps.trees.actions.mark_checkpoint import MarkCheckpoint
from accsite.apps.trees.forms.tree import LoadForm, MarkForm
from accsite.apps.trees.pages import tree as tree_pages
from accsite.apps.trees.services.deletion import Deletion
from accsite.apps.trees.views.common import panel
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, is_partial

Answer = tuple[str, str]
"""What was done, in words, and the address of what it made (empty for nothing)."""


@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one checkpoint: a page, or the panel beside the tree."""
    if is_partial(request) and request.GET.get("panel") == "pictures":
        return _pictures(request, tree_pages.find_checkpoint(request.user, pk))
    if is_partial(request) and (gone := tree_pages.find_deleted(request.user, pk)) is not None:
        return _gone(request, gone.experiment, tree_pages.deletion_of(gone))
    return show(request, tree_pages.find_checkpoint(request.user, pk))


@require_POST
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Do something with a checkpoint; what is refused stands beside its field, with the values kept."""
    checkpoint = tree_pages.find_checkpoint(request.user, pk)
    if action == "delete":
        return _delete(request, checkpoint)
    if action not in ACTIONS:
        raise Http404(f"a checkpoint cannot be asked to {action!r}; it can: {', '.join(ACTIONS)}, delete")
    bound = forms_of(checkpoint, {action: request.POST})
    form = bound.get(action)
    try:
        said, where = ACTIONS[action](request, checkpoint, form)
    except InvalidInput as error:
        if form is None:
            return show(request, checkpoint, status=REFUSED, refused=str(error))
        form.refuse(error)
        return show(request, checkpoint, status=REFUSED, forms=bound, opened=action)
    checkpoint = tree_pages.find_checkpoint(request.user, pk)
    if is_partial(request):
        return show(request, checkpoint, said=said, where=where)
    if said:
        messages.success(request, said)
    return redirect(where or "trees:checkpoint", *([] if where else [pk]))


def forms_of(checkpoint: Checkpoint, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the forms of a checkpoint by what they do, those bound for which there is data."""
    given = data or {}
    return {
        "mark": MarkForm(checkpoint, given.get("mark")),
        "load": LoadForm(checkpoint, tree_pages.branches_of(checkpoint.experiment), given.get("load")),
    }


def context(
    request: HttpRequest,
    checkpoint: Checkpoint,
    forms: dict[str, Any] | None = None,
    asked: Mapping[ActionType, ActionForm] | None = None,
) -> dict[str, Any]:
    """Return what the panel of a checkpoint shows; the versions of topics are read before anything else."""
    topics = [f"checkpoints:{checkpoint.experiment_id}", f"evaluations:{checkpoint.branch_id}"]
    versions = live.versions(topics)
    checkpoint = tree_pages.find_checkpoint(request.user, checkpoint.pk)
    return {
        "versions": versions,
        "place": "experiments",
        **tree_pages.checkpoint_page(checkpoint),
        "forms": forms or forms_of(checkpoint),
        **shown(request.user, checkpoint, asked),
        "changeable": may_change(request.user, checkpoint),
        "pictures_url": _pictures_url(checkpoint),
        "node_url": reverse("trees:checkpoint", args=[checkpoint.pk]),
        "undo_words": tree_pages.undo_words(),
        "refused_code": refused_code(checkpoint),
        **copied(checkpoint),
    }


def copied(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the buttons copy: addresses, bodies and words of manage.py."""
    pk, slug = checkpoint.pk, checkpoint.experiment.slug
    url = reverse("api:checkpoint-detail", args=[pk])
    return {
        "api_url": url,
        "export_api": f"{url}export/",
        "export_cli": f"export {pk} {slug}-{pk}.acc.zip",
        "show_cli": f"checkpoints show {pk}",
    }


def show(request: HttpRequest, checkpoint: Checkpoint, status: int = 200, **extra: Any) -> HttpResponse:
    """Return the panel of a checkpoint, or its page without a script, with what is told of a form that was sent."""
    asked = extra.pop("asked", None)
    found = context(request, checkpoint, extra.pop("forms", None), asked)
    in_menu = any(kind is not ForkCheckpoint for kind in asked or ())
    found["more_opened"] = in_menu or extra.get("opened") in ("load", "delete")
    if is_partial(request):
        return panel(request, "checkpoint", {**found, **extra}, status=status)
    return render(request, "trees/checkpoint.html", {**found, **extra}, status=status)


def _pictures(request: HttpRequest, checkpoint: Checkpoint) -> HttpResponse:
    topic = f"evaluations:{checkpoint.branch_id}"
    told = {"versions": live.versions([topic]), "checkpoint": checkpoint, "measures_topic": topic}
    return panel(request, "pictures", {**told, "pictures_url": _pictures_url(checkpoint)})


def _pictures_url(checkpoint: Checkpoint) -> str:
    return f"{reverse('trees:checkpoint', args=[checkpoint.pk])}?panel=pictures"


def _gone(request: HttpRequest, experiment: Experiment, made: Deletion) -> HttpResponse:
    changeable = may_change(request.user, experiment)
    shown = {"experiment": experiment, "deletion": made, "changeable": changeable}
    return panel(request, "checkpoint_gone", shown)


def _mark(request: HttpRequest, checkpoint: Checkpoint, form: MarkForm) -> Answer:
    changes = form.changes()
    if "starred" in request.POST:
        changes = {"starred": request.POST["starred"] == "1"}
    perform(MarkCheckpoint, actor=actor(request), thing=checkpoint, data=changes)
    return "", ""


def _load(request: HttpRequest, checkpoint: Checkpoint, form: LoadForm) -> Answer:
    asked = form.payload().get("branch", "")
    rows = tree_pages.branches_of(checkpoint.experiment)
    branch = rows.filter(pk=row_id(asked)).first()
    if branch is None:
        raise InvalidInput({"branch": f"{asked!r} is not a branch of {checkpoint.experiment.name}"})
    made = perform(LoadCheckpoint, actor=actor(request), thing=branch, data={"checkpoint": checkpoint.pk})
    where = reverse("training:workbench", args=[checkpoint.experiment.slug, branch.slug])
    return words(LoadCheckpoint, branch, made), where


def _evaluate(request: HttpRequest, checkpoint: Checkpoint, _form: None) -> Answer:
    job = perform(EvaluateCheckpoint, actor=actor(request), thing=checkpoint, data={})
    return words(EvaluateCheckpoint, checkpoint, job), place(EvaluateCheckpoint, job)


ACTIONS: dict[str, Callable[[HttpRequest, Checkpoint, Any], Answer]] = {
    "mark": _mark,
    "load": _load,
    "evaluate": _evaluate,
}


def _delete(request: HttpRequest, checkpoint: Checkpoint) -> HttpResponse:
    whole = request.POST.get("subtree") == "1"
    try:
        made = perform(DeleteCheckpoint, actor=actor(request), thing=checkpoint, data={"subtree": whole})
    except InvalidInput as error:
        return show(request, checkpoint, status=REFUSED, delete_refused=str(error), opened="delete")
    experiment = checkpoint.experiment
    if is_partial(request):
        return _gone(request, experiment, made)
    count = len(made.checkpoints)
    messages.success(request, f"{count} checkpoint{'s' * (count > 1)} deleted; below, it can be undone.")
    return redirect("trees:experiment", experiment.slug)

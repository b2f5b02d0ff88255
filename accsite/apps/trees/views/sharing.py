"""Who may see and change an experiment, and who did what to it."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from acc.errors import InvalidInput
from accsite.apps.audit.selectors import entries_about
from accsite.apps.training.access import may_manage
from accsite.apps.training.models import Experiment, ShareLevel, Visibility
from accsite.apps.trees.pages import tree as tree_pages
from accsite.apps.trees.services.sharing import set_sharing
from accsite.pages import REFUSED, actor

ENTRIES_A_PAGE = 50


@require_http_methods(["GET", "POST"])
def sharing(request: HttpRequest, slug: str) -> HttpResponse:
    """Show who may see an experiment and what was done to it, or change whom it is shared with."""
    experiment = tree_pages.find_experiment(request.user, slug)
    if request.method == "GET":
        return _page(request, experiment)
    if not may_manage(request.user, experiment):
        raise PermissionDenied("only its owner and administrators may share an experiment")
    try:
        if "visibility" in request.POST:
            set_sharing(actor=actor(request), experiment=experiment, visibility=request.POST["visibility"])
        else:
            shares = {request.POST.get("user", "").strip(): request.POST.get("level") or None}
            set_sharing(actor=actor(request), experiment=experiment, shares=shares)
    except InvalidInput as error:
        sentences = [sentence for found in error.fields.values() for sentence in found]
        return _page(request, experiment, refused=" ".join(sentences), status=REFUSED)
    messages.success(request, "The sharing of this experiment is changed.")
    return redirect("trees:experiment-sharing", slug)


def _page(request: HttpRequest, experiment: Experiment, refused: str = "", status: int = 200) -> HttpResponse:
    entries = Paginator(entries_about(f"experiment:{experiment.pk}"), ENTRIES_A_PAGE)
    context = {
        "place": "experiments",
        "experiment": experiment,
        "shares": experiment.shares.select_related("user"),
        "levels": ShareLevel.choices,
        "visibilities": Visibility.choices,
        "manage": may_manage(request.user, experiment),
        "entries": entries.get_page(request.GET.get("page")),
        "typed": request.POST,
        "refused": refused,
    }
    return render(request, "trees/sharing.html", context, status=status)

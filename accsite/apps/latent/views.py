"""The latent in the hand: pages that start nothing, and the decoder as a file once somebody asked for it."""

from __future__ import annotations

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from accsite.apps.evaluation.pages.branches import find_branch
from accsite.apps.latent import pages
from accsite.apps.latent.desk import decoder_file
from accsite.apps.latent.selectors import checkpoints_of
from accsite.pages import visible_row


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show up to four checkpoints under one latent: ``?a=&b=&c=&d=``."""
    context = pages.page_context(request.user, request.GET.dict())
    return render(request, "latent/page.html", {"place": "evaluate", **context})


@require_GET
def heads(request: HttpRequest, pk: int) -> HttpResponse:
    """Return which checkpoint the panel of a branch draws by now."""
    return render(request, "latent/heads.html", pages.heads_context(find_branch(request.user, pk)))


@require_GET
@cache_control(private=True, max_age=31_536_000, immutable=True)
def decoder(request: HttpRequest, checkpoint: int) -> FileResponse:
    """Return the decoder of a checkpoint as ONNX, once it was written because somebody asked for it."""
    found = visible_row(checkpoints_of(request.user), f"checkpoint {checkpoint}", pk=checkpoint)
    name = decoder_file(found.sha256)
    if found.weights_pruned_at is not None or not default_storage.exists(name):
        raise Http404(
            "this decoder was not written yet; press 'Decode in the browser' on the page of its latent"
        )
    named = f"decoder-of-checkpoint-{found.pk}.onnx"
    return FileResponse(
        default_storage.open(name),
        as_attachment=True,
        filename=named,
        content_type="application/octet-stream",
    )

"""The page of words."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accsite.glossary import words


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the words, each with what it means."""
    return render(request, "glossary/glossary.html", {"words": list(words().values())})

"""What the faces of actions need to know of studies: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import actions
from accsite.apps.studies import selectors
from accsite.apps.studies.models import Study


def register() -> None:
    actions.register(
        actions.Things(
            model=Study,
            namespace="studies",
            plural="studies",
            command="study",
            seen_by=_seen,
            find=selectors.find_study,
            word=lambda study: study.slug,
            page=lambda study: reverse("studies:study", args=[study.slug]),
            answer=_in_the_api,
            address="<slug:slug>",
            only_possible=True,
            fresh=lambda study: (reverse("studies:study-actions", args=[study.slug]), f"study:{study.pk}"),
            line=lambda study: (
                f"study {study.slug}: {selectors.state_of(study)}; `manage.py study show {study.slug}`"
            ),
        ),
    )


def _seen(user: Any) -> QuerySet[Study]:
    return Study.objects.visible_to(user).select_related(
        "run__job", "run__within__run__job", "owner", "branch__experiment"
    )


def _in_the_api() -> tuple[Any, Callable[[Any], Any]]:
    from accsite.apps.studies.api.views import StudySummary

    return StudySummary, selectors.study_summary

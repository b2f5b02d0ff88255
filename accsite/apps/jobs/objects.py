"""What the faces of actions need to know of workers: see ``accsite.actions``."""

from __future__ import annotations

from django.urls import reverse

from accsite import actions
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services.workers import find_worker


def register() -> None:
    actions.register(
        actions.Things(
            model=Worker,
            namespace="jobs",
            plural="workers",
            command="devices",
            seen_by=lambda _user: Worker.objects.all(),
            find=lambda _user, name: find_worker(name),
            word=lambda worker: worker.name,
            page=lambda _worker: reverse("jobs:devices"),
            answer=actions.serialized("accsite.apps.jobs.api.serializers.WorkerSerializer"),
            among_others=True,
        ),
    )

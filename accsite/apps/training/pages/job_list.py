"""The list of jobs: what may be chosen of it, and what is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest
from django.urls import reverse

from accsite.apps.jobs.actions.stop_job import StopJob
from accsite.apps.jobs.models import Job, JobQuerySet
from accsite.apps.jobs.states import ACTIVE, HELD, JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.pages import charts

JOBS_A_PAGE = 40
GROUPS: dict[str, tuple[str, Collection[str]]] = {
    "held": ("Running", HELD),
    "QUEUED": ("Waiting", (JobState.QUEUED,)),
    "LOST": ("Lost", (JobState.LOST,)),
    "FAILED": ("Failed", (JobState.FAILED,)),
    "SUCCEEDED": ("Done", (JobState.SUCCEEDED,)),
    "CANCELLED": ("Stopped", (JobState.CANCELLED,)),
}
"""What is offered as ``?state=``: in words, and the states that it means."""
STATES: dict[str, Collection[str]] = {
    **{state.value: (state.value,) for state in JobState},
    "active": ACTIVE,
    **{name: states for name, (_, states) in GROUPS.items()},
}
"""What ``?state=`` may be."""


@dataclass(frozen=True)
class Choice:
    """A choice of the list: where it leads, its words, how many jobs there are of it, whether it is made now."""

    query: str
    label: str
    count: int
    chosen: bool


def list_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the list of jobs shows."""
    versions = live.versions(["jobs"])
    chosen = request.GET.get("state", "")
    chosen = chosen if chosen in STATES else ""
    mine, previews = request.GET.get("mine") == "1", request.GET.get("previews") == "1"
    visible = Job.objects.visible_to(request.user)
    jobs = visible.filter(created_by=request.user.pk) if mine else visible
    jobs = jobs.filter(state__in=STATES[chosen]) if chosen else jobs
    hidden = 0 if previews else jobs.filter(preview=True).count()
    listed = jobs if previews else jobs.filter(preview=False)
    shown = listed.select_related("branch__experiment", "worker", "created_by").order_by("-id")
    page = Paginator(shown, JOBS_A_PAGE).get_page(request.GET.get("page"))
    asked = {"state": chosen, "mine": "1" if mine else "", "previews": "1" if previews else ""}
    query = address(asked) + "&" if address(asked) else ""
    return {
        "versions": versions,
        "jobs": charts.job_rows(list(page.object_list)),
        "stoppable": {
            job.pk for job in page.object_list if job.state in ACTIVE and StopJob.may(request.user, job)
        },
        "page": page,
        "query": query,
        "hidden_previews": hidden,
        "with_previews": address({**asked, "previews": "1"}),
        "jobs_url": f"{reverse('training:jobs')}?{query}page={page.number}",
        "choices": list(choices(request.user.pk, visible, asked)),
    }


def address(asked: dict[str, str]) -> str:
    return urlencode({name: value for name, value in asked.items() if value})


def choices(user: int | None, visible: JobQuerySet, asked: dict[str, str]) -> Iterator[Choice]:
    """Yield all, what there are jobs of or is chosen now, and the reader's own; with two queries for them all.

    A count says what the list would show.
    """
    listed = visible if asked["previews"] else visible.filter(preview=False)
    own = Counter(listed.filter(created_by=user).counts_by("state"))
    counts = own if asked["mine"] else Counter(listed.counts_by("state"))
    yield Choice(address({**asked, "state": ""}), "All", counts.total(), not asked["state"])
    for name, (label, states) in GROUPS.items():
        count = sum(counts[state] for state in states)
        if count or name == asked["state"]:
            yield Choice(address({**asked, "state": name}), label, count, name == asked["state"])
    turned = {**asked, "mine": "" if asked["mine"] else "1"}
    count = sum(own[state] for state in STATES.get(asked["state"], JobState.values))
    yield Choice(address(turned), "Mine", count, bool(asked["mine"]))

"""Asks for the traversals of what a study has trained."""

from __future__ import annotations

from typing import Any

from accsite.apps.evaluation import services as evaluations
from accsite.apps.evaluation.pictures import TRAVERSALS
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import queue
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.studies.models import Study
from accsite.apps.studies.services.studies import locked
from accsite.apps.studies.traversals import to_draw

BEHIND = -10
"""The priority of these jobs: whatever else waits, such as what the study itself measures, is next."""


@unit_of_work()
def draw_traversals(*, actor: Any, study: Study, most: int | None = None) -> list[Job]:
    """Return a new job for each arm and seed that is done and has no traversals, nor a job that draws them.

    most: no more jobs than so many, those of the first seeds; None: all. Raises NotApproved for plugins that may not
    run here.
    """
    study = locked(study)  # two that ask at one moment make each job once
    jobs = []
    for checkpoint in to_draw(study, actor).missing[:most]:
        asked = evaluations.ask(actor=actor, checkpoint=checkpoint, eval={"suite": [TRAVERSALS]})
        if isinstance(asked, Job):
            jobs.append(queue.set_priority(job=asked, priority=BEHIND))
    touch(f"study:{study.pk}")
    return jobs

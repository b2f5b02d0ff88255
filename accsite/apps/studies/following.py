"""Shows in a shell what comes of a study while it is done: its arms, each seed as it ends, and the verdicts."""

from __future__ import annotations

import json
import time
from typing import Any, TextIO

from django.db.models import Q

from accsite.apps.jobs.following import POLL_SECONDS, ending, interrupts
from accsite.apps.jobs.selectors import job_state
from accsite.apps.jobs.states import TERMINAL, JobState
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import changes_of, claims_of, costs_of, study_state
from accsite.cli import FAILED, INTERRUPTED, SUCCEEDED

ENDED = (StudyResult.State.SUCCEEDED, StudyResult.State.FAILED)
MARKS = {StudyResult.State.SUCCEEDED: "\N{BLACK CIRCLE}", StudyResult.State.FAILED: "\N{MULTIPLICATION SIGN}"}


def studies_of(run: RecipeRun) -> list[Study]:
    """Return the study that a run does, or those that the recipe of a run has made."""
    return list(Study.objects.filter(Q(run=run) | Q(run__within__run=run)).order_by("pk"))


def follow(run: RecipeRun, *, out: TextIO, as_json: bool = False, actor: Any = None) -> int:
    """Show the studies of a run until it ends; return 0: it succeeded, 1: it failed or was stopped, 130: detached.

    Ctrl-C detaches and leaves it running. As JSON: an object for each arm and seed, and at the end one for each study.
    """
    shown = _Shown(out, as_json, actor)
    with interrupts() as pressed:
        while True:
            run = RecipeRun.objects.select_related("job", "within__run__job").get(pk=run.pk)
            job = run.done_by
            for study in studies_of(run):
                shown.results(study)
            if job is None or job.state in TERMINAL:
                for study in studies_of(run):
                    shown.verdicts(study)
                if job is not None and not as_json:
                    shown.say(ending(job_state(job)))
                return SUCCEEDED if job is None or job.state == JobState.SUCCEEDED else FAILED
            if pressed:
                shown.say(f"detached; job {job.pk} goes on. `manage.py study list` shows what comes of it")
                return INTERRUPTED
            time.sleep(POLL_SECONDS)


class _Shown:
    """What was shown so far."""

    def __init__(self, out: TextIO, as_json: bool, actor: Any) -> None:
        self.out, self.as_json, self.actor = out, as_json, actor
        self.known: set[tuple[int, str, int]] = set()
        self.begun: set[int] = set()

    def say(self, text: str) -> None:
        self.out.write(f"{text}\n")
        self.out.flush()

    def results(self, study: Study) -> None:
        """Show what has ended since, the arms first."""
        if study.pk not in self.begun and not self.as_json:
            self._begin(study)
        self.begun.add(study.pk)
        for row in study.results.filter(state__in=ENDED).order_by("finished_at", "number"):
            if (study.pk, row.arm, row.seed) not in self.known:
                self.known.add((study.pk, row.arm, row.seed))
                self._result(study, row)

    def verdicts(self, study: Study) -> None:
        """Show what may be said, and what it cost."""
        if self.as_json:
            self.say(json.dumps(study_state(self.actor, study), default=str))
            return
        for claim in claims_of(study):
            self.say(f"  {claim['decision']}: {claim['sentence']}")
        for cost in costs_of(study):
            if cost["seconds"] is not None and cost["images"] is not None:
                self.say(f"  {cost['arm']}: {cost['images']:,.0f} images, {cost['seconds']:.1f} s a seed")
        self.say(f"  `manage.py study show {study.slug}` has it all")

    def _begin(self, study: Study) -> None:
        plan = study.planned
        self.say(f"study {study.slug}: {plan.question or plan.name}")
        for arm in plan.arms:
            self.say(f"  arm {arm.name}{': ' if arm.changes else ''}{', '.join(changes_of(plan, arm))}")
        for claim in plan.claims:
            self.say(f"  claim {claim}")
        for warning in plan.warnings():
            self.say(f"  {warning}")

    def _result(self, study: Study, row: StudyResult) -> None:
        if self.as_json:
            self.say(json.dumps({"study": study.slug, **row.result.model_dump(mode="json")}))
            return
        values = "  ".join(
            f"{name} {'no value' if value['value'] is None else format(value['value'], '.4g')}"
            for name, value in row.values.items()
        )
        done = sum(pk == study.pk for pk, _, _ in self.known)
        self.say(
            f"  {MARKS[StudyResult.State(row.state)]} {row.arm}, seed {row.seed}  {values or row.message}"
            f"  ({done} of {study.results.count()})"
        )

"""Reads studies: results as they are judged, what may be said of them, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypedDict

from django.db.models import Case, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce

from acc.errors import InvalidInput
from acc.studies import Arm, Outcome, Result, judge, settled
from acc.studies import Study as Plan
from acc.studies.plan import paths
from acc.studies.space import Value as Drawn
from acc.studies.sweep import FIRST, Standing, is_over, ranking, standings
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.states import ACTIVE, TERMINAL, JobState
from accsite.apps.recipes.models import RecipeStep
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.training.models import Visibility

COSTS = ("seconds", "images", "steps")
"""What may be an outcome besides what an evaluation measures: what an arm took."""
RATES = 20
"""From how many of the newest jobs a rate is taken."""


class ClaimState(TypedDict):
    """What may be said of a claim, as plain JSON data."""

    claim: str
    decision: str
    sentence: str
    p_holm: float | None
    n: int
    failed: int
    more: int | None


class ArmCost(TypedDict):
    """What a seed of an arm took on average; None: none is done."""

    arm: str
    n: int
    seconds: float | None
    images: float | None


class StudySummary(TypedDict):
    """What a list shows of a study, as plain JSON data."""

    slug: str
    name: str
    state: str
    visibility: str
    sha256: str
    arms: list[str]
    seeds: int
    done: int
    failed: int
    planned: int
    claims: list[ClaimState]
    created_at: str


class StudyState(StudySummary):
    """A study with its plan and every number."""

    plan: dict[str, Any]
    results: list[dict[str, Any]]
    warnings: list[str]
    sweep: SweepState | None


class RankedTrial(TypedDict):
    """A trial of a sweep in its place, as plain JSON data; trial 0 is the first arm."""

    rank: int
    trial: int
    arm: str
    values: dict[str, Drawn]
    state: str
    n: int
    mean: float | None
    low: float | None
    high: float | None
    reason: str


class SweepState(TypedDict):
    """What a sweep was asked and how its trials rank, as plain JSON data."""

    space: list[str]
    sampler: str
    seed: int
    trials: int
    drawn: int
    prune: bool
    jobs: int | None
    hours: float | None
    ranking: list[RankedTrial]
    importance: dict[str, Any] | None
    confirmations: list[str]


@dataclass(frozen=True)
class Cost:
    """What is still to be done. hours: by the rate measured on these workers; None: nothing was measured yet."""

    jobs: int
    workers: int
    hours: float | None


def seen_studies(user: Any) -> QuerySet[Study]:
    """Return the studies that ``user`` may see; None, a shell, sees all."""
    return Study.objects.all() if user is None else Study.objects.visible_to(user)


def find_study(user: Any, name: str) -> Study:
    """Return a study that ``user`` may see (None: any), by its slug or name; raises InvalidInput."""
    rows = seen_studies(user).select_related(
        "run__job", "run__within__run__job", "owner", "branch__experiment"
    )
    found = rows.filter(slug=name).first() or rows.filter(name__iexact=name).first()
    if found is None:
        newest = ", ".join(seen_studies(user).values_list("slug", flat=True)[:5]) or "none"
        raise InvalidInput(study=f"there is no study {name!r}; the newest are: {newest}")
    return found


def results_of(study: Study) -> list[Result]:
    """Return what there is of each arm and seed, in the order of the plan."""
    return [row.result for row in in_order(study.planned, study.results.all())]


def in_order(plan: Plan, rows: Iterable[StudyResult]) -> list[StudyResult]:
    """Return rows in the order of a plan; what was added since it was read, a trial or a seed, comes last."""
    order = {place: at for at, place in enumerate(plan.order())}
    return sorted(rows, key=lambda row: order.get((row.arm, row.seed), len(order)))


def is_settled(study: Study) -> bool:
    """Return whether a study that stops when it is decided has no open claim left."""
    plan = study.planned
    return plan.stop_when_decided and settled(plan, judge(plan, results_of(study)))


def costs_of(study: Study) -> list[ArmCost]:
    """Return what a seed of each arm took on average, over those that succeeded."""
    found: list[ArmCost] = []
    for arm in study.planned.arms:
        done = [row for row in results_of(study) if row.arm == arm.name and row.status == "succeeded"]
        seconds = [row.seconds for row in done if row.seconds is not None]
        images = [row.images for row in done if row.images is not None]
        found.append(
            {
                "arm": arm.name,
                "n": len(done),
                "seconds": sum(seconds) / len(seconds) if seconds else None,
                "images": sum(images) / len(images) if images else None,
            }
        )
    return found


def has_more(study: Study) -> bool:
    """Return whether there is anything left to do, or to be drawn."""
    if study.is_sweep:
        return not is_over(study.swept, study.planned.primary, results_of(study))
    ended = [StudyResult.State.SUCCEEDED, StudyResult.State.FAILED]
    return study.results.exclude(state__in=ended).exists() and not is_settled(study)


def outcomes_by_kind(plan: Plan) -> list[list[Outcome]]:
    """Return the outcomes that an evaluation measures, those together that one evaluation can."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in plan.outcomes:
        if outcome.measured_as not in COSTS:
            kinds.setdefault(canonical([outcome.dataset, outcome.options]), []).append(outcome)
    return list(kinds.values())


def count_kinds(plan: Plan) -> int:
    """Return how many evaluations each arm and seed has."""
    return len(outcomes_by_kind(plan))


def studies_on(dataset: Dataset, limit: int) -> list[str]:
    """Return the names of up to ``limit`` studies, begun or done, that train or measure on a dataset."""
    begun = Study.objects.exclude(run=None).annotate(told=Cast("plan", TextField()))
    rows = begun.filter(told__contains=f'"{dataset.slug}"').order_by("-pk")
    using = (study for study in rows.iterator() if dataset.slug in _datasets_of(study.planned))
    return [
        "a private study" if study.visibility == Visibility.PRIVATE else f"study '{study.name}'"
        for study in islice(using, limit)
    ]


def _datasets_of(plan: Plan) -> set[str]:
    trained = {slug for arm in plan.arms for slug in plan.settings_of(arm.name).get("datasets", ())}
    return trained | {outcome.dataset for outcome in plan.outcomes}


def canonical(value: Any) -> str:
    """Return JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True)


def state_of(study: Study) -> str:
    """Return in a word how a study stands."""
    if study.run is None:
        return "planned"
    if study.is_at_work:
        job = study.run.done_by
        waits = job is not None and job.state == JobState.QUEUED
        return "stopping" if study.held else "waiting" if waits else "running"
    if study.held:
        return "stopped"
    job = study.run.done_by
    if job is not None and job.state in (JobState.FAILED, JobState.CANCELLED):
        return "failed" if job.state == JobState.FAILED else "stopped"
    return "done"


STATES = ("planned", "waiting", "running", "stopping", "stopped", "failed", "done")


def searched(studies: QuerySet[Study], *, q: str = "", state: str = "") -> QuerySet[Study]:
    """Return the studies in a state (``STATES``), of whose name, address or question each word of ``q`` is a part."""
    for word in q.split():
        asked = Q(name__icontains=word) | Q(slug__icontains=word) | Q(plan__question__icontains=word)
        studies = studies.filter(asked)
    if not state:
        return studies
    within = "run__within__run__job__state"
    part = When(~Q(run__within__state=RecipeStep.State.SUCCEEDED), then=F(within))
    own = When(run__job__isnull=False, then=F("run__job__state"))
    begun = studies.filter(run__isnull=False).annotate(stands=Coalesce(Case(own, part), Value("")))
    works = Q(stands__in=[each.value for each in ACTIVE])
    halted = Q(held=True) | Q(stands=JobState.CANCELLED)
    failed = Q(held=False, stands=JobState.FAILED)
    found = {
        "planned": studies.filter(run=None),
        "waiting": begun.filter(held=False, stands=JobState.QUEUED),
        "running": begun.filter(works, held=False).exclude(stands=JobState.QUEUED),
        "stopping": begun.filter(works, held=True),
        "stopped": begun.filter(halted).exclude(works),
        "failed": begun.filter(failed),
        "done": begun.exclude(works).exclude(halted).exclude(failed),
    }
    return found.get(state, studies.none())


def changes_of(plan: Plan, arm: Arm) -> list[str]:
    """Return what an arm changes, a task that it adds or leaves out as one; what follows from that is left out."""
    own = plan.settings.get("tasks", {})
    whole = {
        f"tasks.{key}": "left out" if task is None else "added"
        for key, task in arm.changes.get("tasks", {}).items()
        if task is None or key not in own
    }
    told = [f"{path} {word}" for path, word in whole.items()]
    for path in paths(arm.changes):
        within = any(path == known or path.startswith(f"{known}.") for known in whole)
        if not within and not path.startswith(("datasets.", "plugins.")):
            told.append(path)
    return told


def cost_of(study: Study, plan: Plan | None = None, rows: Sequence[StudyResult] | None = None) -> Cost:
    """Return what is left to be done of a study; plan, rows: where they are read already."""
    plan = plan or study.planned
    rows = list(study.results.all()) if rows is None else rows
    ended = (StudyResult.State.SUCCEEDED, StudyResult.State.FAILED)
    left = [row.arm for row in rows if row.state not in ended]
    if study.is_sweep:
        sweep = study.swept
        left += [FIRST] * ((sweep.limit - len(sweep.drawn)) * len(sweep.seeds))
    workers = max(1, len(Worker.objects.serving("train")))
    done = [row.seconds for row in rows if row.seconds is not None]
    seconds: float | None = None
    if done:
        seconds = len(left) * sum(done) / len(done)
    elif study.branch_id is not None:
        trained = _rate(Job.objects.filter(branch=study.branch_id, kind=JobKind.TRAIN))
        measured = _seconds(Job.objects.filter(branch=study.branch_id, kind=JobKind.EVALUATE))
        if trained:
            steps_of = {arm: int(plan.settings_of(arm)["train"]["steps"]) for arm in set(left)}
            steps = sum(steps_of[arm] for arm in left)
            seconds = steps / trained + len(left) * (measured or 0.0) * count_kinds(plan)
    return Cost(
        len(left) * (1 + count_kinds(plan)), workers, None if seconds is None else seconds / workers / 3600
    )


def _rate(jobs: QuerySet[Job]) -> float | None:
    """Return train steps a second, over the newest jobs."""
    newest = jobs.filter(state__in=TERMINAL).order_by("-pk")[:RATES]
    rows = [(job.step, float(job.result.get("seconds", 0.0))) for job in newest]
    rows = [(steps, took) for steps, took in rows if took > 0]
    return sum(steps for steps, _ in rows) / sum(took for _, took in rows) if rows else None


def _seconds(jobs: QuerySet[Job]) -> float | None:
    """Return how long a job took on average, over the newest."""
    newest = jobs.filter(state=JobState.SUCCEEDED).exclude(started_at=None).order_by("-pk")[:RATES]
    took = [
        (job.finished_at - job.started_at).total_seconds()
        for job in newest
        if job.finished_at and job.started_at
    ]
    return sum(took) / len(took) if took else None


def claims_of(study: Study) -> list[ClaimState]:
    """Return what may be said of each claim."""
    return [
        {
            "claim": verdict.claim,
            "decision": verdict.decision,
            "sentence": verdict.sentence,
            "p_holm": verdict.p_holm,
            "n": verdict.n,
            "failed": verdict.failed,
            "more": verdict.more,
        }
        for verdict in judge(study.planned, results_of(study))
    ]


def study_summary(study: Study) -> StudySummary:
    """Return what a list shows of a study."""
    plan = study.planned
    states = list(study.results.values_list("state", flat=True))
    return {
        "slug": study.slug,
        "name": study.name,
        "state": state_of(study),
        "visibility": study.visibility,
        "sha256": study.sha256,
        "arms": [arm.name for arm in plan.arms],
        "seeds": len(plan.seeds),
        "done": states.count(StudyResult.State.SUCCEEDED),
        "failed": states.count(StudyResult.State.FAILED),
        "planned": len(states),
        "claims": claims_of(study),
        "created_at": study.created_at.isoformat(),
    }


def study_state(user: Any, study: Study) -> StudyState:
    """Return a study with its plan and every number; of other studies it names those that ``user`` may see."""
    rows: Iterable[StudyResult] = study.results.all()
    return {
        **study_summary(study),
        "plan": study.plan,
        "results": [
            {**row.result.model_dump(mode="json"), "branch": row.branch_id, "job": row.job_id,
             "checkpoint": row.checkpoint_id}
            for row in rows
        ],
        "warnings": study.planned.warnings(),
        "sweep": sweep_state(user, study) if study.is_sweep else None,
    }  # fmt: skip


def trials_of(study: Study) -> list[Standing]:
    """Return how the first arm and each trial of a sweep stands, as they were drawn."""
    return standings(study.swept, study.planned.primary, results_of(study))


def confirmations_of(user: Any, study: Study) -> QuerySet[Study]:
    """Return the studies that confirm the winner of a sweep, those that ``user`` may see, the first first."""
    return seen_studies(user).filter(confirms=study).order_by("pk")


def sweep_state(user: Any, study: Study) -> SweepState:
    """Return what a sweep was asked, and how its trials rank."""
    sweep = study.swept
    return {
        "space": [str(parameter) for parameter in sweep.space],
        "sampler": sweep.sampler,
        "seed": sweep.seed,
        "trials": sweep.trials,
        "drawn": len(sweep.drawn),
        "prune": sweep.prune,
        "jobs": sweep.jobs,
        "hours": sweep.hours,
        "ranking": [_ranked(place, stand) for place, stand in enumerate(ranking(sweep, trials_of(study)), 1)],
        "importance": study.importance,
        "confirmations": list(confirmations_of(user, study).values_list("slug", flat=True)),
    }


def _ranked(place: int, stand: Standing) -> RankedTrial:
    return {
        "rank": place,
        "trial": stand.number,
        "arm": stand.arm,
        "values": dict(stand.values),
        "state": stand.state,
        "n": stand.n,
        "mean": stand.value,
        "low": stand.low,
        "high": stand.high,
        "reason": stand.reason,
    }

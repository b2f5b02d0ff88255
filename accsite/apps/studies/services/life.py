"""A study among others: renamed, copied, seen by others, handed over, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, Sum

from acc.errors import InvalidInput
from acc.studies import Study as Plan
from acc.studies.sweep import Sweep
from accsite.apps.access.permissions import may_change, may_write
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import seen_studies
from accsite.apps.studies.services.studies import MAX_NAME, create_study, free_name, locked, require_short
from accsite.apps.training.access import may_manage
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.trees.services.dependants import needed
from accsite.apps.trees.services.removal import remove_experiment
from accsite.apps.trees.services.sharing import set_sharing
from accsite.errors import WrongState
from accsite.names import clean_name, same_name, taken

MOST_NAMED = 10
AT_WORK = "it is at work; stop it, and wait until what is under way has ended"


@unit_of_work()
def rename_study(*, actor: Any, study: Study, name: str) -> Study:
    """Return the study under another name; its address, and the experiments that it made, keep theirs.

    Raises InvalidInput (name).
    """
    study = locked(study)
    name = _allowed(name)
    others = seen_studies(actor).exclude(pk=study.pk).values_list("name", flat=True)
    if same_name(name) in {same_name(other) for other in others}:
        raise InvalidInput(name=taken(name, "a study"))
    study.name, study.plan = name, {**study.plan, "name": name}  # which is no part of the plan's hash
    study.save(update_fields=["name", "plan"])
    touch("studies", f"study:{study.pk}")
    return study


@unit_of_work()
def copy_study(*, actor: Any, study: Study, name: str = "", other_seeds: bool = False) -> Study:
    """Return a new study of the same plan, of which nothing is done yet; whoever saw the first sees it.

    other_seeds: as many, but none that the first has, so that what was seen there is tried on seeds that nobody has
    seen. A sweep is copied as it was asked: a copy draws anew, and claims of its trials no more than the first may.
    Raises InvalidInput (name, seeds).
    """
    study = locked(study)  # who sees it, as it is now
    plan = study.planned
    first = max(plan.seeds) + 1
    fields = plan.model_dump(mode="json", exclude={"changes"})
    fields["name"] = free_name(_allowed(name) if name else f"{plan.name[: MAX_NAME - 5].strip()} copy", actor)
    if other_seeds:
        if first + len(plan.seeds) > 2**63:
            raise InvalidInput(other_seeds=f"there is no seed behind {first - 1}")
        fields["seeds"] = list(range(first, first + len(plan.seeds)))
    sweep: Sweep | None = None
    if study.is_sweep:
        fields["arms"] = fields["arms"][:1]
        sweep = Sweep.model_validate({**study.swept.model_dump(), "seeds": fields["seeds"], "drawn": ()})
    return create_study(
        actor=actor,
        plan=Plan.model_validate(fields),
        branch=study.branch,
        repeats=study.repeats.all(),
        visibility=study.visibility,
        experiment=study.experiment,
        sweep=sweep,
    )


@unit_of_work()
def set_visibility(*, actor: Any, study: Study, visibility: str) -> Study:
    """Return the study as it is seen now; the experiments that it made, and that are the actor's, are seen as it is.

    Raises InvalidInput (visibility) for another word, and for one that would show what a private arm is made of.
    """
    study = locked(study)
    if visibility not in Visibility.values:
        raise InvalidInput(
            visibility=f"{visibility!r} is refused; choose one of: {', '.join(Visibility.values)}"
        )
    hidden = sources_of(study).filter(visibility=Visibility.PRIVATE)
    if visibility == Visibility.SITE and study.visibility != Visibility.SITE and hidden.exists():
        raise InvalidInput(
            visibility=f"it repeats a branch of {_named(actor, hidden)}, which is private; let everyone see that first"
        )
    if visibility == Visibility.PRIVATE and study.owner_id is None:
        study.owner = actor  # else only administrators could see it
    if study.experiment is not None and study.experiment.visibility == Visibility.SITE:
        study.experiment = None  # whoever sees that one sees the study: everyone would
    study.visibility = visibility
    study.save(update_fields=["visibility", "owner", "experiment"])
    for made in experiments_of(study):
        if _may_manage(actor, made):
            set_sharing(actor=actor, experiment=made, visibility=visibility)
    touch("studies", f"study:{study.pk}")
    return study


@unit_of_work()
def hand_over(*, actor: Any, study: Study, to: str) -> Study:
    """Return the study, which somebody else owns now, with the experiments that it made and its owner had.

    Raises InvalidInput (to) for who cannot own one, or may not see the experiment of each arm, WrongState for a study
    that is at work: it is done on behalf of its owner.
    """
    study = locked(study)
    if study.is_at_work:
        raise WrongState(study=AT_WORK)
    user = User.objects.filter(username=to.strip(), is_active=True).first()
    if user is None:
        raise InvalidInput(to=f"there is no active user {to!r}; give a name as they sign in with")
    if user.pk == study.owner_id:
        raise InvalidInput(to=f"{to!r} owns it already; name somebody else")
    if not may_write(user):
        raise InvalidInput(to=f"{to!r} may look, but not change; name somebody who may make experiments")
    hidden = sources_of(study).exclude(pk__in=Experiment.objects.visible_to(user).values("pk"))
    if study.visibility != Visibility.SITE and hidden.exists():
        raise InvalidInput(
            to=f"it repeats a branch of {_named(actor, hidden)}, which {to!r} may not see; let them see that first, or "
            "name somebody else"
        )
    experiments_of(study).filter(owner=study.owner_id).update(owner=user)
    study.owner = user
    study.save(update_fields=["owner"])
    if study.run is not None:
        study.run.created_by = user
        study.run.save(update_fields=["created_by"])
    touch("studies", f"study:{study.pk}", "experiments")
    return study


@dataclass(frozen=True)
class Removal:
    """What becomes of the experiments that a study made: (those that may go), (those that stay, and why)."""

    goes: list[Experiment]
    stays: list[tuple[Experiment, str]]
    branches: int
    bytes: int


def plan_removal(actor: Any, study: Study) -> Removal:
    """Return what would become of the experiments that a study made, if they were removed with it."""
    made = list(experiments_of(study))
    reasons = _why_they_stay(actor, study, made)
    goes = [each for each in made if each.pk not in reasons]
    files = Checkpoint.everything.filter(experiment__in=goes).aggregate(Sum("size_bytes"))
    return Removal(
        goes,
        [(each, reasons[each.pk]) for each in made if each.pk in reasons],
        Branch.objects.filter(experiment__in=goes).count(),
        files["size_bytes__sum"] or 0,
    )


@unit_of_work()
def remove_study(*, actor: Any, study: Study, with_experiments: bool = False) -> Removal:
    """Remove a study: its question, its plan, and every number of it. Return what became of its experiments.

    with_experiments: with those that it made and in which nothing else is, with checkpoints and losses; else all stay.
    It cannot be undone. Raises WrongState for a study that is at work.
    """
    study = locked(study)
    if study.is_at_work:
        raise WrongState(study=AT_WORK)
    found = plan_removal(actor, study) if with_experiments else Removal([], [], 0, 0)
    pk, run = study.pk, study.run
    trained = set(study.results.exclude(job=None).values_list("job", flat=True))
    for made in found.goes:
        remove_experiment(made)
    if study.confirms is not None:
        _remember_seeds(study.confirms, study)
    study.delete()
    if run is not None:
        run.delete()  # nobody could go on with it
    touch("studies", f"study:{pk}", "recipes", *(f"job:{job}" for job in trained))
    return found


def _remember_seeds(sweep: Study, confirmation: Study) -> None:
    """Have a sweep remember the seeds of a confirmation that goes: what somebody has seen is fresh no more."""
    sweep = locked(sweep)
    used = dict.fromkeys((*sweep.swept.confirmed_on, *confirmation.planned.seeds))
    sweep.sweep = {**(sweep.sweep or {}), "confirmed_on": list(used)}
    sweep.save(update_fields=["sweep"])


def sources_of(study: Study) -> QuerySet[Experiment]:
    """Return the experiments that the arms of a study repeat, those of which none is known any more left out."""
    known = Q(pk__in=study.repeats.values("pk")) | Q(pk=study.experiment_id)
    if study.branch is not None:
        known |= Q(pk=study.branch.experiment_id)
    return Experiment.objects.filter(known).order_by("name", "pk")


def _named(actor: Any, experiments: QuerySet[Experiment]) -> str:
    """Return experiments by name, those that ``actor`` may not see without their names."""
    seen = experiments if actor is None else experiments.filter(pk__in=Experiment.objects.visible_to(actor))
    names = [repr(name) for name in seen.values_list("name", flat=True)[:MOST_NAMED]]
    others = experiments.count() - len(names)
    of_others = "an experiment of somebody else" if others == 1 else f"{others} experiments of others"
    return " and of ".join([*names, *([of_others] if others else [])])


def experiments_of(study: Study) -> Any:
    """Return the experiments that a study made: those of its arms and seeds."""
    made = study.results.exclude(branch=None).values("branch__experiment")
    return Experiment.objects.filter(pk__in=made).order_by("pk")


def _may_manage(actor: Any, made: Experiment) -> bool:
    """Return whether an experiment that a study made is the actor's to show and remove; nobody's is as the study is."""
    return actor is None or may_manage(actor, made) or (made.owner_id is None and may_change(actor, made))


def _why_they_stay(actor: Any, study: Study, made: Sequence[Experiment]) -> dict[int, str]:
    """Return by experiment what is in it, or depends on it, that is not of the study; some queries for them all."""
    found: dict[int, str] = {}
    for each in made:
        if not _may_manage(actor, each):
            found[each.pk] = "somebody else owns it"
    busy = Job.objects.active().filter(branch__experiment__in=made).order_by("pk")
    for job, experiment in busy.values_list("pk", "branch__experiment"):
        found.setdefault(experiment, f"job {job} has not ended")
    done = list(study.results.exclude(branch=None).values_list("branch", "job"))
    own = {branch for branch, _ in done}
    branches = Branch.objects.filter(experiment__in=made).order_by("pk")
    for pk, name, experiment in branches.values_list("pk", "name", "experiment"):
        if pk not in own:
            found.setdefault(experiment, f"branch {name!r} is not of the study")
    trained = {branch: job for branch, job in done if job is not None}
    nodes = list(
        Checkpoint.objects.filter(experiment__in=made).values_list("pk", "branch", "job", "experiment")
    )
    for pk, branch, job, experiment in nodes:
        if job is not None and job != trained.get(branch, job):
            found.setdefault(experiment, f"checkpoint {pk} was trained after the study")
    where = {pk: experiment for pk, _, _, experiment in nodes}
    for pk, why in sorted(needed(where.keys(), forks=False).items()):
        if " head of branch " not in why:  # of the study's own branches: there are no others here
            found.setdefault(where[pk], f"checkpoint {pk} {why}")
    return found


def _allowed(name: str) -> str:
    name = clean_name(name)
    require_short(name)
    return name

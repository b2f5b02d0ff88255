"""What each verb of a recipe does, through the services that pages and API use."""

# ruff: noqa: ARG002 - not every verb asks for its step

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from acc.errors import InvalidInput
from acc.params import clean_params
from acc.recipes import BranchRef, CheckpointRef, DatasetRef, EvalOutcome, TaskRef, TrainOutcome
from acc.specs import EvalJobSpec, EvalSpec, parse
from acc.training.losses import series
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.recipes import recipe_hash
from accsite.apps.datasets.services import generation
from accsite.apps.datasets.services.naming import free_name
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.evaluation.services import asking as evaluations
from accsite.apps.jobs.models import Job
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services.recipe_steps import Done, Submitted
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.access import may_change_experiment
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task
from accsite.apps.training.services import experiments, jobs, tasks
from accsite.apps.training.services.measuring import frozen
from accsite.apps.trees.selectors import find_checkpoint_named
from accsite.apps.trees.services import expansion, marks
from accsite.names import same_name

if TYPE_CHECKING:
    from workers.recipes.record import Record

NAME_TRIES = 1000
T = TypeVar("T", Branch, Checkpoint)


@dataclass(frozen=True)
class Verb:
    """A call of a verb: what is recorded of it, and on whose behalf it is made."""

    run: RecipeRun
    verb: str
    args: dict[str, Any]

    @property
    def actor(self) -> Any:
        return self.run.created_by

    def act(self, step: RecipeStep) -> Done | Submitted | None:
        """Do it; a verb that needs a job submits it, and one that goes on in the recipe returns None."""
        raise NotImplementedError(f"{type(self).__name__} ({self.verb}) must define act(step)")

    def go_on(self, record: Record, step: RecipeStep) -> None:
        raise NotImplementedError(f"{type(self).__name__} ({self.verb}) must define go_on(record, step)")

    def outcome(self, job: Job) -> Done:
        raise NotImplementedError(f"{type(self).__name__} ({self.verb}) must define outcome(job)")

    def key(self, step: RecipeStep) -> str:
        """Return what makes the job of a step one, however often it is asked for."""
        return f"recipe:{self.run.pk}:{step.path}:{step.tries}"[:80]


class CreateModel(Verb):
    """Makes an experiment; a name that is taken is numbered."""

    def act(self, step: RecipeStep) -> Done:
        made = experiments.create_experiment(
            actor=self.actor, name=free_experiment_name(self.args["name"]), model=self.args["model"]
        )
        branch = made.branches.get()
        return Done(branch_ref(branch).as_dict(), experiment=made.pk, branch=branch.pk)


class LoadDataset(Verb):
    """Finds a dataset by its slug."""

    def act(self, step: RecipeStep) -> Done:
        return Done(dataset_ref(datasets.get(self.args["slug"])).as_dict())


class CreateDataset(Verb):
    """Generates a dataset, unless one of the same origin is there."""

    def act(self, step: RecipeStep) -> Done | Submitted:
        """Return the dataset that is there, or the job that makes it."""
        plugin = registry.get(PluginKind.GENERATOR, self.args["generator"])
        params = clean_params(plugin.params, self.args["params"])
        made_from = {
            "generator": plugin.name,
            "version": plugin.requires.get("version", 1),
            "params": params,
            "n": self.args["n"],
            "seed": self.args["seed"],
        }
        known = Dataset.objects.filter(recipe_hash=recipe_hash(made_from)).order_by("pk").first()
        if known is not None:
            return Done(dataset_ref(known).as_dict(), message="it was there already")
        job = generation.submit_generation(
            actor=self.actor,
            generator=plugin.name,
            params=params,
            n=self.args["n"],
            seed=self.args["seed"],
            name=free_name(self.args["name"] or plugin.label),
            idempotency_key=self.key(step),
        )
        return Submitted(job)

    def outcome(self, job: Job) -> Done:
        return Done(dataset_ref(Dataset.objects.get(pk=job.result["dataset"])).as_dict())


class LoadCheckpoint(Verb):
    """Finds a checkpoint by id or tag."""

    def act(self, step: RecipeStep) -> Done:
        found = find_checkpoint_named(self.actor, str(self.args["checkpoint"]))
        return Done(checkpoint_ref(found).as_dict(), checkpoint=found.pk)


class AttachTask(Verb):
    """Attaches a task to a branch."""

    def act(self, step: RecipeStep) -> Done:
        args = dict(self.args)
        branch = find_branch(args.pop("branch"), self.actor)
        made = tasks.add_task(actor=self.actor, branch=branch, **args)
        return Done(task_ref(made).as_dict(), branch=branch.pk)


class DetachAllTasks(Verb):
    """Takes every task off a branch."""

    def act(self, step: RecipeStep) -> Done:
        """Return how many there were."""
        branch = find_branch(self.args["branch"], self.actor)
        attached = list(branch.tasks.filter(removed_at=None))
        for task in attached:
            tasks.remove_task(actor=self.actor, task=task)
        return Done({"count": len(attached)}, branch=branch.pk)


class SetWeight(Verb):
    """Weighs a task."""

    def act(self, step: RecipeStep) -> Done:
        branch = find_branch(self.args["branch"], self.actor)
        task = find_task(branch, self.args["task"])
        tasks.set_weight(actor=self.actor, task=task, weight=self.args["weight"])
        return Done(branch=branch.pk)


class SaveCheckpoint(Verb):
    """Tags the head of a branch."""

    def act(self, step: RecipeStep) -> Done:
        branch = find_branch(self.args["branch"], self.actor)
        if branch.head is None:
            raise InvalidInput({"branch": f"{branch} has no checkpoint yet; train it first"})
        if self.args["tag"]:
            marks.mark_checkpoint(actor=self.actor, checkpoint=branch.head, tag=self.args["tag"])
        return Done(checkpoint_ref(branch.head).as_dict(), branch=branch.pk, checkpoint=branch.head.pk)


class Fork(Verb):
    """Makes a branch that begins at a checkpoint."""

    def act(self, step: RecipeStep) -> Done:
        checkpoint = None
        if self.args["checkpoint"] is not None:
            checkpoint = changeable(
                find_checkpoint_named(self.actor, str(self.args["checkpoint"])), self.actor
            )
            experiment = checkpoint.experiment
        else:
            source = find_branch(self.args["branch"], self.actor)
            checkpoint, experiment = source.head, source.experiment
        made = experiments.create_branch(
            actor=self.actor,
            experiment=experiment,
            name=self.args["name"],
            from_checkpoint=checkpoint,
            tasks=self.args["tasks"],
        )
        return Done(
            branch_ref(made).as_dict(),
            experiment=experiment.pk,
            branch=made.pk,
            checkpoint=checkpoint.pk if checkpoint else None,
        )


class Train(Verb):
    """Trains a branch by a job."""

    def act(self, step: RecipeStep) -> Submitted:
        branch = find_branch(self.args["branch"], self.actor)
        job = jobs.submit_training(
            actor=self.actor, branch=branch, train=self.args["train"], idempotency_key=self.key(step)
        )
        return Submitted(job)

    def outcome(self, job: Job) -> Done:
        """Return steps, losses and the new head."""
        final = job.checkpoints.order_by("-job_step", "-id").first()
        if final is None:
            raise InvalidInput({"checkpoint": f"job {job.pk} left no checkpoint; somebody has deleted it"})
        last = {task["name"]: final.losses.get(series.raw(task["key"])) for task in final.spec["tasks"]}
        losses = {name: value for name, value in last.items() if value is not None and math.isfinite(value)}
        outcome = TrainOutcome(
            job=job.pk,
            step=final.step,
            checkpoint=checkpoint_ref(final),
            losses=losses,
            seconds=job.result.get("seconds", 0.0),
        )
        return Done(outcome.as_dict(), branch=final.branch_id, checkpoint=final.pk)


class Evaluate(Verb):
    """Measures a checkpoint by a job, its own or one that measures the same already."""

    def act(self, step: RecipeStep) -> Submitted:
        """Submit it, unless it is under way or done; of metrics that are plugins in the versions that are asked for."""
        checkpoint = find_checkpoint_named(self.actor, str(self.args["checkpoint"]))
        asked = {**self.args["options"], "suite": self.args["suite"]}
        plugins = self.args.get("plugins")
        known = self._known(checkpoint, frozen(parse(EvalSpec, asked), plugins))
        if known is not None:
            return Submitted(known, owned=False)
        job = jobs.submit_evaluation(
            actor=self.actor,
            checkpoint=checkpoint,
            eval=asked,
            plugins=plugins,
            idempotency_key=self.key(step),
        )
        return Submitted(job)

    def outcome(self, job: Job) -> Done:
        found = Evaluation.objects.filter(job=job).prefetch_related("metrics").first()
        rows = found.metrics.all() if found else ()
        outcome = EvalOutcome(
            job=job.pk,
            checkpoint=job.checkpoint_id or 0,
            metrics={metric.called: metric.value for metric in rows},
            reasons={metric.called: metric.reason for metric in rows if metric.value is None},
        )
        return Done(outcome.as_dict(), checkpoint=job.checkpoint_id)

    def _known(self, checkpoint: Checkpoint, spec: EvalJobSpec) -> Job | None:
        """Return a job that measures, or has measured, all that is asked for."""
        kept = evaluations.find_kept(checkpoint, spec)
        if kept is not None and kept.job is not None:
            return kept.job
        return evaluations.same_job(checkpoint, spec)


class Expand(Verb):
    """Grows a checkpoint's model by a job."""

    def act(self, step: RecipeStep) -> Submitted:
        checkpoint = changeable(find_checkpoint_named(self.actor, str(self.args["checkpoint"])), self.actor)
        job = expansion.submit_expansion(
            actor=self.actor,
            checkpoint=checkpoint,
            expansion=self.args["expansion"],
            branch_name=self.args["branch_name"],
            idempotency_key=self.key(step),
        )
        return Submitted(job)

    def outcome(self, job: Job) -> Done:
        made = Checkpoint.objects.select_related("branch__experiment").get(pk=job.result["checkpoint"])
        return Done(checkpoint_ref(made).as_dict(), branch=made.branch_id, checkpoint=made.pk)


class Log(Verb):
    """Writes a line."""

    def act(self, step: RecipeStep) -> Done:
        return Done(message=self.args["text"])


NAMED: Mapping[str, type[Verb]] = {
    "create_model": CreateModel,
    "load_dataset": LoadDataset,
    "create_dataset": CreateDataset,
    "load_checkpoint": LoadCheckpoint,
    "attach_task": AttachTask,
    "detach_all_tasks": DetachAllTasks,
    "set_weight": SetWeight,
    "save_checkpoint": SaveCheckpoint,
    "fork": Fork,
    "train": Train,
    "evaluate": Evaluate,
    "expand": Expand,
}
"""The verbs, as ``acc.recipes.RecipeContext`` calls them."""


def branch_ref(branch: Branch) -> BranchRef:
    """Return what a recipe is told of a branch."""
    return BranchRef(id=branch.pk, experiment=branch.experiment.slug, slug=branch.slug)


def task_ref(task: Task) -> TaskRef:
    """Return what a recipe is told of a task."""
    return TaskRef(id=task.pk, branch=task.branch_id, key=task.key, name=task.name)


def dataset_ref(dataset: Dataset) -> DatasetRef:
    """Return what a recipe is told of a dataset."""
    return DatasetRef(
        id=dataset.pk,
        slug=dataset.slug,
        n=dataset.n,
        shape=(dataset.channels, dataset.height, dataset.width),
        targets=tuple(target["name"] for target in dataset.targets),
        content_hash=dataset.content_hash,
    )


def checkpoint_ref(checkpoint: Checkpoint) -> CheckpointRef:
    """Return what a recipe is told of a checkpoint."""
    return CheckpointRef(
        id=checkpoint.pk,
        branch=branch_ref(checkpoint.branch),
        step=checkpoint.step,
        tag=checkpoint.tag,
        sha256=checkpoint.sha256,
        tasks=tuple(task["name"] for task in checkpoint.spec.get("tasks", [])),
    )


def find_branch(pk: Any, actor: Any) -> Branch:
    """Return a branch by its id, to be changed on behalf of ``actor``; raises InvalidInput."""
    found = Branch.objects.select_related("experiment", "head").filter(pk=pk).first()
    if found is None:
        raise InvalidInput(
            {"branch": f"there is no branch {pk!r} any more; give what fork or create_model returned"}
        )
    return changeable(found, actor)


def changeable(found: T, actor: Any) -> T:
    """Return a branch or checkpoint; raises InvalidInput unless ``actor`` (None: the shell) may change its tree."""
    if actor is not None and not may_change_experiment(actor, found.experiment):
        right = "choose one of your own, or ask its owner to share it with you"
        raise InvalidInput({"experiment": f"{actor} may not change {found.experiment.slug!r}; {right}"})
    return found


def find_task(branch: Branch, name: str) -> Task:
    """Return an attached task by its key or name; raises InvalidInput naming those there are."""
    attached = list(branch.tasks.filter(removed_at=None))
    found = next((task for task in attached if name in {task.key, task.name}), None)
    if found is None:
        known = ", ".join(task.name for task in attached) or "none"
        raise InvalidInput({"task": f"{name!r} is not a task of {branch}; known: {known}"})
    return found


def free_experiment_name(name: str) -> str:
    """Return ``name``, numbered if an experiment has it."""
    taken = {same_name(other) for other in Experiment.objects.values_list("name", flat=True)}
    numbered = (name if number == 1 else f"{name} {number}" for number in range(1, NAME_TRIES))
    return next((each for each in numbered if same_name(each) not in taken), name)

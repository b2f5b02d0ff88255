"""What verifications work with: experiments, datasets and plugin files of their own, all removed in the end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from accsite import blobs
from accsite.apps.datasets import services as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import generation
from accsite.apps.datasets.services.generation import DatasetExists
from accsite.apps.evaluation import services as evaluations
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.jobs.states import TERMINAL, JobState
from accsite.apps.operations.verify_conditions import NotVerified, require, there, until
from accsite.apps.registry import services as registry
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task, Visibility
from accsite.apps.training.selectors import loss_history
from accsite.apps.training.services import experiments, jobs, tasks
from accsite.apps.trees.services import removal
from accsite.errors import WrongState

SIZE = 16
IMAGES = 300
MODEL: Mapping[str, Any] = {
    "architecture": "Autoencoder",
    "image": {"channels": 1, "height": SIZE, "width": SIZE},
    "latent_dim": 12,
    "factor_groups": [
        {"name": "digit", "start": 0, "end": 6},
        {"name": "thickness", "start": 6, "end": 8},
        {"name": "slant", "start": 8, "end": 10},
    ],
    "params": {"depth": 2},
}
EXPERIMENTS, PLUGINS, DATASETS = range(3)
"""In which order things are removed."""
JOB_SECONDS = 180.0
STOP_SECONDS = 60.0
APPLIED_SECONDS = 10.0
LONG = 1_000_000
"""Steps of a job that is there to be watched and stopped."""


# The same images each time, so that what is learned of them is the same.
SEED = 1


class Workshop:
    """Makes things as a user does, by the services, and takes every one of them away again.

    ``actor``: in whose name, None for nobody in particular.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.mark = f"verify-{secrets.token_hex(3)}"
        self._removals: list[tuple[int, Callable[[], None]]] = []
        self._datasets: dict[str, Dataset] = {}

    # --- things --------------------------------------------------------------------------------------------

    def dataset(self, generator: str, *, n: int = IMAGES) -> Dataset:
        """Return a small dataset made by a generator, made at the first call."""
        if generator not in self._datasets:
            self._datasets[generator] = self._generate(generator, n)
        return self._datasets[generator]

    def _generate(self, generator: str, n: int) -> Dataset:
        name = f"{self.mark} {generator}"
        params: dict[str, Any] = {"size": SIZE}
        if (
            generator != "HandwrittenDigits"
        ):  # strokes as thin, beside the image, as the defaults are at 32 px
            params |= {"softness": 1}
            params |= {"thickness_min": 2, "thickness_max": 3 if generator == "Slant" else 4}
        try:
            job = generation.submit_generation(
                actor=self.actor, generator=generator, params=params, n=n, seed=SEED, name=name
            )
        except DatasetExists as error:  # somebody's: used, and left where it is
            return Dataset.objects.get(slug=error.existing)
        self._later(DATASETS, lambda: removal.remove_jobs([job.pk]))
        self._later(DATASETS, lambda: self._discard(name))
        self._later(DATASETS, lambda: self.stop(job))
        self.ended(job)
        made = Dataset.objects.filter(name=name).first()
        if made is None:  # the same content, under another name
            made = Dataset.objects.get(slug=job.result["slug"])
        return made

    def experiment(self, name: str) -> Branch:
        """Return the branch ``main`` of a new private experiment."""
        made = experiments.create_experiment(
            actor=self.actor, name=f"{self.mark} {name}", model=MODEL, visibility=Visibility.PRIVATE
        )
        self._later(EXPERIMENTS, lambda: self._remove_experiment(made))
        return made.branches.get()

    def learner(self, name: str, dataset: Dataset) -> Branch:
        """Return the branch of a new experiment that reconstructs images and reads their digit."""
        branch = self.experiment(name)
        add = {"actor": self.actor, "branch": branch, "dataset": dataset}
        tasks.add_task(**add, task_class="ReconstructionTask", name="Reconstruction", weight=30)
        tasks.add_task(**add, task_class="ClassificationTask", name="Digit", factor="digit")
        return branch

    def add_thickness(self, branch: Branch) -> None:
        """Give a branch a task that reads the thickness of glyphs from the group of that name."""
        tasks.add_task(
            actor=self.actor,
            branch=branch,
            task_class="RegressionTask",
            dataset=self.dataset("Thickness"),
            name="Thickness",
            factor="thickness",
            params={"target_name": "thickness"},
        )

    def plugin_file(self, name: str) -> Path:
        """Return where a task plugin of this name is to be written; its file and class are removed in the end."""
        folder = Path(settings.PLUGINS_ROOT) / "tasks"
        require(folder.is_dir(), f"there is no folder {folder}; set ACC_PLUGINS to the folder of the plugins")
        path = folder / f"{self.mark.replace('-', '_')}.py"
        self._later(PLUGINS, lambda: self._remove_plugin(path, name))
        return path

    # --- work ----------------------------------------------------------------------------------------------

    def train(self, branch: Branch, steps: int, **train: Any) -> Job:
        """Return a new train job; it is not waited for. ``train``: more fields of ``TrainSpec``."""
        spec = {"steps": steps, "batch_size": 32, "lr": 3e-3, "threads": 1, **train}
        return jobs.submit_training(actor=self.actor, branch=branch, train=spec)

    def trained(self, branch: Branch, steps: int) -> Checkpoint:
        """Return the checkpoint that training a branch has led to."""
        job = self.ended(self.train(branch, steps))
        found = job.checkpoints.order_by("-step", "-pk").first()
        branch.refresh_from_db()
        return there(found, f"job {job.pk} has ended and left no checkpoint")

    def evaluated(self, checkpoint: Checkpoint, *suite: str, **options: Any) -> Evaluation:
        """Return the evaluation of a checkpoint by the parts of ``suite``."""
        asked = {"suite": list(suite), **options}
        job = self.ended(jobs.submit_evaluation(actor=self.actor, checkpoint=checkpoint, eval=asked))
        found = Evaluation.objects.filter(job=job).first()
        return there(found, f"job {job.pk} has ended and recorded nothing")

    def drawn(self, evaluation: Evaluation, kind: str) -> str:
        """Return how many pictures of a kind an evaluation drew, each there to be read; raises NotVerified for none."""
        pictures = list(evaluation.artifacts.filter(kind=kind))
        why = evaluation.parts.filter(name=kind).first()
        reason = (why.reason or why.reasons) if why else ""
        require(pictures, f"no {kind} were drawn: {reason or 'no reason is given'}")
        for picture in pictures:
            blobs.open_local(picture.file, picture.sha256)
        return f"{kind} of {', '.join(picture.name for picture in pictures)}"

    def until_state(self, job: Job, state: JobState) -> Job:
        """Return the job once it is in a state."""
        until(
            lambda: self.newest(job).state == state,
            what=f"job {job.pk} to be {state.label}",
            seconds=JOB_SECONDS,
        )
        return job

    def newest(self, job: Job) -> Job:
        job.refresh_from_db()
        return job

    def ended(self, job: Job) -> Job:
        """Return the job once it is done; raises NotVerified if it ended otherwise."""
        until(lambda: _has_ended(job), what=f"job {job.pk} ({job.title}) to end", seconds=JOB_SECONDS)
        if job.state != JobState.SUCCEEDED:
            why = f": {job.message}" if job.message else ""
            raise NotVerified(f"job {job.pk} ({job.title}) is {JobState(job.state).label}{why}")
        return job

    def reached(self, job: Job, step: int) -> Job:
        """Return the job once it has recorded ``step`` steps."""

        def there() -> bool:
            job.refresh_from_db()
            require(job.state not in TERMINAL, f"job {job.pk} ended at step {job.step}: {job.message}")
            return job.step >= step

        until(there, what=f"job {job.pk} to reach step {step}", seconds=JOB_SECONDS)
        return job

    def stop(self, job: Job) -> None:
        """Stop a job, if it has not ended, and wait for it."""
        job.refresh_from_db()
        if job.state in TERMINAL:
            return
        with suppress(WrongState):  # it ended at this very moment, or was asked before
            jobs.request_control(actor=self.actor, job=job, kind="stop")
        until(lambda: _has_ended(job), what=f"job {job.pk} to stop", seconds=STOP_SECONDS)

    # --- in the end ----------------------------------------------------------------------------------------

    def clean(self) -> list[str]:
        """Remove everything that was made; return a sentence for each thing that would not go."""
        left: list[str] = []
        # A dataset is protected while an experiment uses it; of one kind, the last goes first.
        removals = sorted(self._removals, key=lambda pair: pair[0])
        self._removals.clear()
        for _, remove in removals:
            try:
                remove()
            except Exception as error:
                left.append(f"{type(error).__name__}: {error}")
        self._datasets.clear()
        return left

    def _later(self, order: int, removal: Callable[[], None]) -> None:
        self._removals.insert(0, (order, removal))

    def _discard(self, name: str) -> None:
        made = Dataset.objects.filter(name=name).first()
        if made is not None:
            datasets.discard(actor=self.actor, dataset=made)

    def _remove_experiment(self, experiment: Experiment) -> None:
        for job in Job.objects.active().filter(branch__experiment=experiment).order_by("-pk"):
            self.stop(job)
        with unit_of_work():
            evaluations.forget(Evaluation.objects.filter(branch__experiment=experiment))
            removal.remove_experiment(experiment)

    def _remove_plugin(self, path: Path, name: str) -> None:
        path.unlink(missing_ok=True)
        until(lambda: not known(name), what=f"{name} to leave the registry", seconds=10)
        registry.forget(PluginKind.TASK, name)


def known(name: str) -> Any:
    """Return the row of a task class that can be chosen now, or None."""
    from accsite.apps.registry import selectors

    return selectors.available(PluginKind.TASK).filter(name=name).first()


def curves(job: Job) -> dict[str, NDArray[np.floating[Any]]]:
    """Return series -> the value of each step of a job that is recorded by now."""
    header, columns = loss_history(job)
    return dict(zip(header["series"], columns, strict=True))


def applied(job: Job, kind: str, task: Task | None = None) -> JobEvent:
    """Return the newest command of a kind, once the job has applied it; raises NotVerified if it refuses."""

    def found() -> JobEvent | None:
        for event in JobEvent.objects.filter(job=job, kind=kind).order_by("-pk"):
            about = event.payload.get("task")
            key = about.get("key") if isinstance(about, dict) else about
            if task is None or key == task.key:
                require(event.status != JobEvent.Status.REFUSED, f"the job refused it: {event.message}")
                return event if event.status == JobEvent.Status.APPLIED else None
        return None

    return until(found, what=f"job {job.pk} to apply {kind}", seconds=APPLIED_SECONDS)


def intact(checkpoint: Checkpoint) -> Path:
    """Return the local file of a checkpoint, its sha256 compared; raises BlobDamaged."""
    return blobs.open_local(checkpoint.file, checkpoint.sha256)


def _has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in TERMINAL

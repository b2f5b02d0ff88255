"""The milestones: what an installation promises, each line kept by doing what a user does and looking at what came."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from django.conf import settings

from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.states import JobState
from accsite.apps.operations.verify import Milestone, NotHere, promise
from accsite.apps.operations.verify_conditions import require, until
from accsite.apps.operations.verify_training import Training
from accsite.apps.operations.verify_trees import Expansion, Forks
from accsite.apps.operations.verify_workshop import LONG, SIZE, applied, curves, known
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Task
from accsite.apps.training.services import tasks
from accsite.supervisor.health import is_ready

SEEN_SECONDS = 2.0
CURVE_SECONDS = 10.0
PLUGIN = '''"""Written by `manage.py verify`, which removes it again."""

from acc.api import Param, Task


class {name}(Task):
    """Pulls the latent to nought."""

    label = "Verify"
    power = Param(2, min=1, max=9, help="how hard")

    def compute_loss(self, output, batch, head):
        return output.mean.abs().pow(self.power).mean()
'''


class Site(Milestone):
    """What all the others need."""

    title = "the site and its workers"

    @promise("the site answers")
    def answers(self) -> str:
        """Ask whether it is ready, from where this command runs."""
        url = settings.ACC_INTERNAL_URL
        require(is_ready(url), f"{url}/readyz does not say that it is ready; see `manage.py doctor`")
        return url

    @promise("workers take jobs")
    def workers(self) -> str:
        """Look for a worker of each queue."""
        online = Worker.objects.filter(state=Worker.State.ONLINE)
        served = {queue for worker in online for queue in worker.queues}
        missing = {"train", "eval", "default"} & set(kinds.queues()) - served
        require(
            not missing,
            f"no worker that is online serves {', '.join(sorted(missing))}; see `manage.py doctor`",
        )
        return ", ".join(f"{worker.name} on {worker.device}" for worker in online)


def _a_folder_to_write() -> None:
    folder = Path(settings.PLUGINS_ROOT) / "tasks"
    if not os.access(folder, os.W_OK):
        raise NotHere(
            f"{folder} cannot be written from here; docs/deploy.md says how to verify it in containers"
        )


class HotReload(Milestone):
    """A plugin file is saved, served, broken, mended, trained with, and removed."""

    title = "plugins, and their hot reload"
    name: str
    source: str
    path: Path
    relative: str
    branch: Branch
    job: Job
    task: Task

    @promise("the built-in plugins are on the list, every file of the folder of plugins among them")
    def built_in(self) -> str:
        """Compare the folder with the registry."""
        root = Path(settings.PLUGINS_ROOT)
        files = {
            f"{kind.value}s/{path.name}"
            for kind in PluginKind
            for path in (root / f"{kind.value}s").glob("[!_]*.py")
        }
        read = set(PluginFile.objects.filter(error="").values_list("path", flat=True))
        broken = PluginFile.objects.exclude(error="").values_list("path", flat=True)
        missing = sorted(files - read - set(broken))
        require(not missing, f"files of {root} that no watcher has read: {', '.join(missing)}")
        counts = {
            kind: Plugin.objects.filter(kind=kind, available=True, path__in=read).count()
            for kind in PluginKind
        }
        kinds = [
            kind.value for kind in PluginKind if any(path.startswith(f"{kind.value}s/") for path in files)
        ]
        empty = [kind for kind in kinds if not counts[PluginKind(kind)]]
        require(files and not empty, f"{root} gave no {' and no '.join(empty) or 'plugin'} to choose")
        listed = ", ".join(f"{counts[PluginKind(kind)]} {kind}s" for kind in kinds)
        return f"{listed} of {len(files)} files"

    @promise("a saved plugin is in the registry within two seconds", needs=_a_folder_to_write)
    def saved(self) -> str:
        """Write the file."""
        self.name = f"Verify{self.shop.mark.rpartition('-')[2].capitalize()}Task"
        self.source = PLUGIN.format(name=self.name)
        self.path = self.shop.plugin_file(self.name)
        self.relative = f"tasks/{self.path.name}"
        self.path.write_text(self.source)
        row = until(lambda: known(self.name), what=f"{self.name} in the registry", seconds=SEEN_SECONDS)
        return f"{row.kind} {row.name} from {row.path}"

    @promise(
        "an error in it is told with its line, and the last good version goes on serving",
        needs=_a_folder_to_write,
    )
    def broken(self) -> str:
        """Break it and mend it."""
        self.path.write_text(self.source.replace("def compute_loss(", "def compute_loss(("))
        what = f"the error of {self.relative}"
        broken = until(lambda: _error_of(self.relative), what=what, seconds=SEEN_SECONDS)
        require(known(self.name), f"{self.name} is not served while its file is broken")
        text = f"{broken.path}:{broken.error_line} {broken.error}"
        self.path.write_text(self.source)
        until(
            lambda: not _error_of(self.relative), what=f"{self.relative} to be mended", seconds=SEEN_SECONDS
        )
        return text

    @promise("a task of the new class joins a running job", needs=_a_folder_to_write)
    def joins(self) -> str:
        """Add it."""
        self.branch = self.shop.learner("reload", self.shop.dataset("HandwrittenDigits"))
        self.job = self.shop.reached(self.shop.train(self.branch, LONG), 5)
        self.task = tasks.add_task(
            actor=self.shop.actor,
            branch=self.branch,
            task_class=self.name,
            dataset=self.branch.tasks.all()[0].dataset,
            weight=0.01,
        )
        return f"before step {applied(self.job, 'add_task', self.task).step}"

    @promise("it is trained, with a curve of its own", needs=_a_folder_to_write)
    def trained(self) -> str:
        curve = f"raw/{self.task.key}"
        until(lambda: curve in curves(self.job), what=f"the curve {curve}", seconds=CURVE_SECONDS)
        return curve

    @promise("it is removed from the running job", needs=_a_folder_to_write)
    def removed(self) -> str:
        """Remove it."""
        tasks.remove_task(actor=self.shop.actor, task=self.task)
        step = applied(self.job, "remove_task", self.task).step
        self.shop.stop(self.job)
        return f"before step {step}"

    @promise("its file is deleted, and the class is gone from the choices", needs=_a_folder_to_write)
    def deleted(self) -> str:
        self.path.unlink()
        until(lambda: not known(self.name), what=f"{self.name} to leave the registry", seconds=SEEN_SECONDS)
        return self.relative


class DataAndEvaluation(Milestone):
    """Datasets are generated and browsed; training and evaluation run at the same time."""

    title = "datasets, and evaluation beside training"
    branch: Branch
    checkpoint: Checkpoint
    evaluation: Evaluation

    @promise("a dataset of thickness is made, and its samples are browsed")
    def thickness(self) -> str:
        return self._browsed("Thickness", "thickness")

    @promise("a dataset of slant is made, and its samples are browsed")
    def slant(self) -> str:
        return self._browsed("Slant", "slant")

    def _browsed(self, generator: str, target: str) -> str:
        made = self.shop.dataset(generator)
        _browse(made, target)
        return (
            f"{made.n} images of {made.height} x {made.width}; sorted, filtered, drawn, counted by {target}"
        )

    @promise("a checkpoint is trained on digits and glyphs at once")
    def train(self) -> str:
        """Train."""
        self.branch = self.shop.learner("at once", self.shop.dataset("HandwrittenDigits"))
        self.shop.add_thickness(self.branch)
        self.checkpoint = self.shop.trained(self.branch, 60)
        return str(self.checkpoint)

    @promise("it is evaluated while training goes on")
    def beside(self) -> str:
        """Evaluate it while a job runs."""
        job = self.shop.reached(self.shop.train(self.branch, LONG), 5)
        before = job.step
        self.evaluation = self.shop.evaluated(self.checkpoint, "metrics", "reconstructions", "sort")
        job.refresh_from_db()
        require(
            job.state == JobState.RUNNING, f"the training is {JobState(job.state).label}, and not running"
        )
        require(job.step > before, f"the training stood still at step {before} while the evaluation ran")
        self.shop.stop(job)
        measured = self.evaluation.metrics.exclude(value=None).count()
        require(measured, "the evaluation measured nothing")
        return f"{measured} metrics; the training went from step {before} to {job.step}"

    @promise("reconstructions are drawn of each of its datasets")
    def reconstructions(self) -> str:
        names = set(self.evaluation.artifacts.filter(kind="reconstructions").values_list("name", flat=True))
        require(len(names) == 2, f"pictures of two datasets were expected, and there are: {names or 'none'}")
        return self.shop.drawn(self.evaluation, "reconstructions")

    @promise("images are ranked by what activates each factor group")
    def ranked(self) -> str:
        """Look at the order of the activations."""
        drawn = self.shop.drawn(self.evaluation, "sort")
        for artifact in self.evaluation.artifacts.filter(kind="sort"):
            low, high = (artifact.meta[end]["activations"] for end in ("lowest", "highest"))
            ordered = [*low] == sorted(low) and [*high] in (sorted(high), sorted(high, reverse=True))
            require(
                ordered and max(low) <= min(high), f"the images of {artifact.name} are not in their order"
            )
        return drawn


def _error_of(path: str) -> PluginFile | None:
    return PluginFile.objects.filter(path=path).exclude(error="").first()


def _browse(dataset: Dataset, target: str) -> None:
    page = datasets.samples(dataset, {"sort": target}, offset=0, limit=24)
    values = page["values"][target]
    require(page["total"] == dataset.n, f"{page['total']} of {dataset.n} samples are listed")
    require(values == sorted(values), f"the samples are not in the order of {target}")
    require(page["values"].keys() >= {"thickness", "slant"}, f"it has only {', '.join(page['values'])}")
    middle = float(np.median(datasets.samples(dataset, {}, offset=0, limit=dataset.n)["values"][target]))
    upper = datasets.samples(dataset, {f"{target}.min": repr(middle)}, offset=0, limit=dataset.n)
    require(
        0 < upper["total"] < dataset.n and min(upper["values"][target]) >= middle,
        f"{upper['total']} samples have {target} of {middle:.3g} or more, which cannot be",
    )
    picture = datasets.picture(dataset, np.asarray(page["indices"]), columns=8)
    require(picture.startswith(b"\x89PNG"), f"the samples of {SIZE} x {SIZE} pixels were not drawn")
    counts = datasets.histogram(dataset, target, {}, bins=20)["counts"]
    require(sum(counts) == dataset.n, f"the histogram counts {sum(counts)} of {dataset.n} images")


MILESTONES: Mapping[str, type[Milestone]] = {
    "m2": Training,
    "m3": HotReload,
    "m4": DataAndEvaluation,
    "m5": Forks,
    "m6": Expansion,
}

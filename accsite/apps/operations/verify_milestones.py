"""The milestones, each verified by doing what its user does and looking at what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.operations.verify import Verification, require, until
from accsite.apps.operations.verify_trees import expansion, forks
from accsite.apps.operations.verify_workshop import SIZE, Workshop, intact, known
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.models import Job, JobEvent, Task, Worker
from accsite.apps.training.selectors import loss_history
from accsite.apps.training.services import tasks
from accsite.apps.training.services.queueing import QUEUES
from accsite.apps.training.states import JobState
from accsite.supervisor.health import is_ready

LONG = 1_000_000
"""Steps of a job that is there to be watched and stopped."""
SEEN_SECONDS = 2.0
APPLIED_SECONDS = 10.0
PLUGIN = '''"""Written by `manage.py verify`, which removes it again."""

from acc.api import Param, Task


class {name}(Task):
    """Pulls the latent to nought."""

    label = "Verify"
    power = Param(2, min=1, max=9, help="how hard")

    def compute_loss(self, output, batch, head):
        return output.mean.abs().pow(self.power).mean()
'''


@dataclass(frozen=True)
class Milestone:
    """A verification: what it is of, in words, and what does it."""

    title: str
    verify: Callable[[Verification, Workshop], None]


def the_site(run: Verification, shop: Workshop) -> None:
    """The site answers, and its workers are there."""
    del shop
    with run.step("the site answers") as step:
        require(
            is_ready(settings.ACC_PUBLIC_URL),
            f"{settings.ACC_PUBLIC_URL}/readyz does not say that it is ready",
        )
        step.text = settings.ACC_PUBLIC_URL
    with run.step("workers take jobs") as step:
        online = Worker.objects.filter(state=Worker.State.ONLINE)
        served = {queue for worker in online for queue in worker.queues}
        missing = {"train", "eval", "default"} & set(QUEUES.values()) - served
        require(
            not missing,
            f"no worker that is online serves {', '.join(sorted(missing))}; see `manage.py doctor`",
        )
        step.text = ", ".join(f"{worker.name} on {worker.device}" for worker in online)


def training(run: Verification, shop: Workshop) -> None:
    """A small model is trained on real digits; its history is whole and its loss falls."""
    with run.step("a dataset of handwritten digits is made") as step:
        digits = shop.dataset("HandwrittenDigits")
        step.text = f"{digits.n} images of {digits.height} x {digits.width}"
    branch = shop.learner("train", digits)
    with run.step("a model is trained") as step:
        job = shop.ended(shop.train(branch, 120))
        step.text = f"{job.step} steps"
        require(job.step == 120, f"120 steps were asked for, and {job.step} were made")
    with run.step("its history is whole") as step:
        header, columns = loss_history(job)
        values = dict(zip(header["series"], columns, strict=True))
        require(columns.shape[1] == 120, f"the history has {columns.shape[1]} of 120 steps")
        wanted = {"total", *(f"raw/{key}" for key in branch.tasks.values_list("key", flat=True))}
        require(wanted <= set(values), f"curves are missing: {', '.join(sorted(wanted - set(values)))}")
        require(np.isfinite(values["total"]).all(), "a loss of some step is not a finite number")
        first, last = float(values["total"][:10].mean()), float(values["total"][-10:].mean())
        require(last < first, f"the loss did not fall: {first:.4g} at first, {last:.4g} in the end")
        step.text = f"{len(values)} curves; loss {first:.3g} to {last:.3g}"
    with run.step("its checkpoint is intact") as step:
        checkpoint = job.checkpoints.order_by("-step").first()
        require(checkpoint is not None and checkpoint.step == 120, "there is no checkpoint of step 120")
        assert checkpoint is not None
        step.text = f"{intact(checkpoint).stat().st_size} bytes, sha256 {checkpoint.sha256[:12]}"


def hot_reload(run: Verification, shop: Workshop) -> None:
    """A plugin file is saved, served, broken, mended, trained with, and removed."""
    name = f"Verify{shop.mark.rpartition('-')[2].capitalize()}Task"
    source = PLUGIN.format(name=name)
    path = shop.plugin_file(name)
    relative = f"tasks/{path.name}"
    with run.step("a saved plugin is in the registry") as step:
        path.write_text(source)
        row = until(lambda: known(name), what=f"{name} in the registry", seconds=SEEN_SECONDS)
        step.text = f"{row.kind} {row.name} from {row.path}"
    with run.step("an error in it is told, and the last good version goes on serving") as step:
        path.write_text(source.replace("def compute_loss(", "def compute_loss(("))
        broken = until(lambda: _error_of(relative), what=f"the error of {relative}", seconds=SEEN_SECONDS)
        require(known(name), f"{name} is not served while its file is broken")
        step.text = f"{broken.path}:{broken.error_line} {broken.error}"
        path.write_text(source)
        until(lambda: not _error_of(relative), what=f"{relative} to be mended", seconds=SEEN_SECONDS)
    branch = shop.learner("reload", shop.dataset("HandwrittenDigits"))
    job = shop.reached(shop.train(branch, LONG), 5)
    with run.step("a task of the new class joins the running job") as step:
        task = tasks.add_task(
            actor=shop.actor,
            branch=branch,
            task_class=name,
            dataset=branch.tasks.all()[0].dataset,
            weight=0.01,
        )
        step.text = f"before step {_applied(job, 'add_task', task).step}"
    with run.step("it is trained") as step:
        curve = f"raw/{task.key}"
        until(
            lambda: curve in loss_history(job)[0]["series"],
            what=f"the curve {curve}",
            seconds=APPLIED_SECONDS,
        )
        step.text = curve
    with run.step("it is removed from the running job") as step:
        tasks.remove_task(actor=shop.actor, task=task)
        step.text = f"before step {_applied(job, 'remove_task', task).step}"
        shop.stop(job)
    with run.step("the file is deleted, and the class is gone from the choices"):
        path.unlink()
        until(lambda: not known(name), what=f"{name} to leave the registry", seconds=SEEN_SECONDS)


def data_and_evaluation(run: Verification, shop: Workshop) -> None:
    """Datasets are generated and browsed; training and evaluation run at the same time."""
    for generator, target in (("Thickness", "thickness"), ("Slant", "slant")):
        with run.step(f"a {target} dataset is made") as step:
            made = shop.dataset(generator)
            step.text = f"{made.n} images of {made.height} x {made.width}"
        with run.step(f"its samples are browsed by {target}") as step:
            _browse(made, target)
            step.text = f"sorted, filtered, drawn; histogram of {made.n}"
    digits = shop.dataset("HandwrittenDigits")
    branch = shop.learner("at once", digits)
    tasks.add_task(
        actor=shop.actor,
        branch=branch,
        task_class="RegressionTask",
        dataset=shop.dataset("Thickness"),
        name="Thickness",
        factor="thickness",
        params={"target_name": "thickness"},
    )
    with run.step("a first checkpoint is trained on digits and glyphs") as step:
        checkpoint = shop.trained(branch, 60)
        step.text = str(checkpoint)
    with run.step("it is evaluated while training goes on") as step:
        job = shop.reached(shop.train(branch, LONG), 5)
        before = job.step
        evaluation = shop.evaluated(checkpoint, "metrics", "reconstructions")
        job.refresh_from_db()
        require(
            job.state == JobState.RUNNING, f"the training is {JobState(job.state).label}, and not running"
        )
        require(job.step > before, f"the training stood still at step {before} while the evaluation ran")
        measured = evaluation.metrics.exclude(value=None).count()
        require(measured, "the evaluation measured nothing")
        step.text = f"{measured} metrics; the training went from step {before} to {job.step}"
        shop.stop(job)


def _error_of(path: str) -> PluginFile | None:
    return PluginFile.objects.filter(path=path).exclude(error="").first()


def _applied(job: Job, kind: str, task: Task) -> JobEvent:
    def found() -> JobEvent | None:
        for event in JobEvent.objects.filter(job=job, kind=kind).order_by("-pk"):
            key = event.payload.get("key") or event.payload.get("task")
            if key in (task.key, None) or isinstance(key, dict):
                require(event.status != JobEvent.Status.REFUSED, f"the job refused it: {event.message}")
                return event if event.status == JobEvent.Status.APPLIED else None
        return None

    return until(found, what=f"job {job.pk} to apply {kind}", seconds=APPLIED_SECONDS)


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


MILESTONES: Mapping[str, Milestone] = {
    "m2": Milestone("train, and read the history", training),
    "m3": Milestone("hot reload of a plugin", hot_reload),
    "m4": Milestone("datasets, and evaluation beside training", data_and_evaluation),
    "m5": Milestone("forks, traversals and comparison", forks),
    "m6": Milestone("growing a trained model", expansion),
}

"""Verifies training: what a job leaves behind, how it is steered, and that ranks share it."""

from __future__ import annotations

import time

import numpy as np

from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services.placement import most_ranks
from accsite.apps.jobs.states import JobState
from accsite.apps.operations.verify import Milestone, NotHere, promise
from accsite.apps.operations.verify_conditions import require, there, until
from accsite.apps.operations.verify_workshop import LONG, applied, curves, intact
from accsite.apps.training.models import Branch, Checkpoint, Task
from accsite.apps.training.services import jobs, tasks

STEPS = 120
RATE = 0.0007
RANKS = 2
RANK_STEPS = 40
AS_ONE = 0.1
"""How far the mean loss of two ranks may be from that of one process, as a part of it."""
CURVE_SECONDS = 10.0
STILL_SECONDS = 0.5


class Training(Milestone):
    """A small model is trained on real digits; then a job is steered while it runs, and shared by two ranks."""

    title = "train, steer, and read what came of it"
    branch: Branch
    job: Job
    checkpoint: Checkpoint
    steered: Job
    task: Task

    @promise("a dataset of handwritten digits is made")
    def dataset(self) -> str:
        digits = self.shop.dataset("HandwrittenDigits")
        self.branch = self.shop.learner("train", digits)
        return f"{digits.n} images of {digits.height} x {digits.width}"

    @promise("a model is trained on it")
    def train(self) -> str:
        self.job = self.shop.ended(self.shop.train(self.branch, STEPS))
        require(self.job.step == STEPS, f"{STEPS} steps were asked for, and {self.job.step} were made")
        return f"{self.job.step} steps"

    @promise("its history has a point of every step, and its loss falls")
    def history(self) -> str:
        """Read it."""
        values = curves(self.job)
        wanted = {"total", *(f"raw/{key}" for key in self.branch.tasks.values_list("key", flat=True))}
        require(wanted <= set(values), f"curves are missing: {', '.join(sorted(wanted - set(values)))}")
        total = values["total"]
        require(len(total) == STEPS, f"the history has {len(total)} of {STEPS} steps")
        require(np.isfinite(total).all(), "a loss of some step is not a finite number")
        first, last = float(total[:10].mean()), float(total[-10:].mean())
        require(last < first, f"the loss did not fall: {first:.4g} at first, {last:.4g} in the end")
        return f"{len(values)} curves; loss {first:.3g} to {last:.3g}"

    @promise("its checkpoint is intact")
    def is_intact(self) -> str:
        found = self.job.checkpoints.filter(step=STEPS).order_by("-pk").first()
        self.checkpoint = checkpoint = there(found, f"there is no checkpoint of step {STEPS}")
        return f"{intact(checkpoint).stat().st_size} bytes, sha256 {checkpoint.sha256[:12]}"

    @promise("its metrics are measured on held-out images, and its reconstructions are drawn")
    def evaluate(self) -> str:
        """Evaluate it."""
        found = self.shop.evaluated(self.checkpoint, "metrics", "reconstructions")
        drawn = self.shop.drawn(found, "reconstructions")
        measured = {
            f"{each.name} of {each.task_key}": each.value for each in found.metrics.exclude(value=None)
        }
        for name in ("accuracy of digit", "psnr of reconstruction"):
            require(name in measured, f"{name} was not measured, only {', '.join(measured) or 'nothing'}")
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
        return f"{drawn}; {numbers}"

    @promise("the weight of a task is changed while a job trains, from the step that is said")
    def set_weight(self) -> str:
        """Change it, and compare the weighted loss with the raw one."""
        self.steered = self.shop.reached(self.shop.train(self.branch, LONG), 20)
        self.task = self.branch.tasks.get(task_class="ClassificationTask")
        before, after = self.task.weight, self.task.weight * 3
        tasks.set_weight(actor=self.shop.actor, task=self.task, weight=after)
        step = self._changed("set_weight", self.task)
        values = curves(self.steered)
        raw, weighted = values[f"raw/{self.task.key}"], values[f"weighted/{self.task.key}"]
        seen = weighted[step - 1] / raw[step - 1], weighted[step] / raw[step]
        require(
            np.allclose(seen, (before, after), rtol=0.01),
            f"the loss was weighed by {seen[0]:.4g} before step {step} and by {seen[1]:.4g} from it on; "
            f"{before:g} and {after:g} were asked for",
        )
        return f"{before:g} to {after:g} at step {step}"

    @promise("a task is switched off and on again, and has no value while it is off")
    def switch(self) -> str:
        """Switch it, and look at its curve."""
        tasks.set_enabled(actor=self.shop.actor, task=self.task, enabled=False)
        off = self._changed("set_enabled", self.task)
        self.shop.reached(self.steered, off + 3)
        tasks.set_enabled(actor=self.shop.actor, task=self.task, enabled=True)
        on = self._changed("set_enabled", self.task)
        curve = curves(self.steered)[f"raw/{self.task.key}"]
        require(
            np.isnan(curve[off:on]).all(), f"it has values between steps {off} and {on}, where it was off"
        )
        require(
            np.isfinite(curve[[off - 1, on]]).all(), f"it has no value before step {off} or from step {on} on"
        )
        return f"off from step {off} to {on}"

    @promise("the learning rate is changed while a job trains")
    def set_lr(self) -> str:
        """Change it, and look at its curve."""
        jobs.request_control(actor=self.shop.actor, job=self.steered, kind="set_lr", payload={"lr": RATE})
        step = self._changed("set_lr")
        rates = curves(self.steered)["lr"]
        require(
            np.isclose(rates[step], RATE) and not np.isclose(rates[step - 1], RATE),
            f"it is {rates[step - 1]:.4g} before step {step} and {rates[step]:.4g} from it on; {RATE:g} was asked for",
        )
        return f"{rates[step - 1]:.4g} to {rates[step]:.4g} at step {step}"

    @promise("a job is paused, stands still, and goes on")
    def pause(self) -> str:
        """Pause and resume it."""
        job = self.steered
        jobs.request_control(actor=self.shop.actor, job=job, kind="pause")
        self.shop.until_state(job, JobState.PAUSED)
        time.sleep(STILL_SECONDS)
        standing = self.shop.newest(job).step
        time.sleep(STILL_SECONDS)
        require(
            self.shop.newest(job).step == standing,
            f"it went on from step {standing} to {job.step} while paused",
        )
        jobs.request_control(actor=self.shop.actor, job=job, kind="resume")
        self.shop.reached(job, standing + 5)
        return f"at step {standing}"

    @promise("a job that is stopped keeps every step that it trained")
    def stop(self) -> str:
        """Stop it, and read its history."""
        job = self.steered
        self.shop.stop(job)
        checkpoint = job.checkpoints.order_by("-job_step").first()
        require(
            checkpoint is not None and checkpoint.job_step == job.step,
            f"it has no checkpoint of step {job.step}",
        )
        total = curves(job)["total"]
        require(
            len(total) == job.step and np.isfinite(total).all(),
            f"its history has {np.isfinite(total).sum()} of {job.step} steps",
        )
        return f"{job.step} steps, the checkpoint of the last among them"

    def _changed(self, kind: str, task: Task | None = None) -> int:
        """Return the step at which the job applied a change, once it has trained some steps with it."""
        step = applied(self.steered, kind, task).step
        assert step is not None
        self.shop.reached(self.steered, step + 2)
        until(
            lambda: len(curves(self.steered)["total"]) > step,
            what=f"the curve of step {step}",
            seconds=CURVE_SECONDS,
        )
        return step

    @promise("two ranks train it as one process does")
    def ranks(self) -> str:
        """Train the same twice, once over two ranks."""
        online = [each for each in Worker.objects.filter(state=Worker.State.ONLINE) if "train" in each.queues]
        if most_ranks("auto", online) < RANKS:
            raise NotHere(f"no train worker has {RANKS} devices or processor cores")
        digits = self.shop.dataset("HandwrittenDigits")
        means = []
        for ranks in (1, RANKS):
            branch = self.shop.learner(f"{ranks} ranks", digits)
            job = self.shop.ended(self.shop.train(branch, RANK_STEPS, ranks=ranks, seed=1))
            total = curves(job)["total"]
            require(
                len(total) == RANK_STEPS, f"{ranks} ranks: the history has {len(total)} of {RANK_STEPS} steps"
            )
            means.append(float(total.mean()))
        one, two = means
        require(
            abs(one - two) <= AS_ONE * one,
            f"the mean loss of one process is {one:.4g}, of {RANKS} ranks {two:.4g}",
        )
        return f"mean loss of one process {one:.4g}, of {RANKS} ranks {two:.4g}"

"""Shows a job in a shell while it runs: a progress bar on a terminal, plain lines or JSON anywhere else."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from acc import messages
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state, logs
from accsite.apps.jobs.services import control
from accsite.apps.jobs.states import JobState
from accsite.cli import FAILED, INTERRUPTED, SUCCEEDED, ServiceCommand
from accsite.errors import WrongState
from accsite.numbers import if_finite

POLL_SECONDS = 0.25
LINE_SECONDS = 2.0


class View(Protocol):
    """Shows states of a job."""

    def show(self, state: messages.Job, losses: dict[str, float]) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None:
        """Leave the last state standing."""
        ...


class JobCommand(ServiceCommand):
    """A command that submits a job."""

    def submitted(self, job: Job, options: dict[str, Any]) -> int:
        """Follow a job if that is asked for, else tell that it is queued; return the exit status."""
        if options["follow"]:
            stop = options.get("stop_on_interrupt", False)
            return follow(job, out=self.out, as_json=self.json, stop_on_interrupt=stop)
        queued = f"job {job.pk} queued: {job.title}; `manage.py jobs follow {job.pk}` shows it"
        self.tell(job_state(Job.objects.get(pk=job.pk)), queued)
        return SUCCEEDED


def follow(job: Job, *, out: TextIO, as_json: bool = False, stop_on_interrupt: bool = False) -> int:
    """Show a job until it ends and return the exit status: 0 succeeded, 1 failed or stopped, 130 detached.

    Ctrl-C detaches and leaves the job running; with ``stop_on_interrupt`` the first one stops the job and goes on
    to follow its end, and a second detaches. The job is followed in the database, so a web server that is down
    hides nothing.
    """
    view = _view(job, out, as_json=as_json)
    heard = 0
    with interrupts() as pressed:
        try:
            while True:
                job = Job.objects.select_related("branch__experiment", "worker").get(pk=job.pk)
                state = job_state(job)
                view.show(state, kinds.of(job).losses(job))
                if state["ended"]:
                    view.say(ending(state))
                    if job.state == JobState.FAILED and (lines := logs.last_lines(job)):
                        view.say(f"the last lines that it printed (`manage.py jobs log {job.pk}` has all):")
                        view.say("\n".join(lines))
                    return SUCCEEDED if job.state == JobState.SUCCEEDED else FAILED
                if len(pressed) > heard:
                    heard = len(pressed)
                    if not stop_on_interrupt or heard > 1:
                        view.say(
                            f"detached; job {job.pk} goes on. `manage.py jobs follow {job.pk}` shows it again"
                        )
                        return INTERRUPTED
                    view.say(_stop(job))
                    continue
                time.sleep(POLL_SECONDS)
        finally:
            view.close()


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collect SIGINT instead of raising in the middle of a query or of drawing."""
    pressed: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(job: Job) -> str:
    try:
        control.cancel(actor=None, job=job)
    except WrongState as error:  # it ended at this very moment
        return str(error)
    return f"stopping job {job.pk} at its next step; Ctrl-C again detaches"


def ending(state: messages.Job) -> str:
    """Return a sentence on a job that has ended: how, where, after how long, and why."""
    seconds = state["elapsed_seconds"]
    took = f" after {seconds:.1f} s" if seconds is not None else ""
    steps = f" at step {state['step']} of {state['total_steps']}" if state["total_steps"] else ""
    why = f": {state['message']}" if state["message"] and state["state"] != JobState.SUCCEEDED else ""
    return f"job {state['id']} {state['state_label']}{steps}{took}{why}"


def _view(job: Job, out: TextIO, *, as_json: bool) -> View:
    if as_json:
        return _JsonView(out)
    if out.isatty():
        return _BarView(job, out)
    return _LineView(out)


def _losses(losses: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items())


def _doing(state: messages.Job) -> str:
    asked = {"stop": "stopping", "pause": "pausing", "resume": "resuming"}
    words = [asked[kind] for kind in state["asked"] if kind in asked]
    place = f", place {state['place']} in queue {state['queue']}" if state["place"] else ""
    return (words[-1] if words else state["state_label"]) + place


def finite(losses: dict[str, float]) -> dict[str, float | None]:
    """Return losses as JSON can hold them: None for what is infinite."""
    return {name: if_finite(value) for name, value in losses.items()}


class _BarView:
    """A progress bar with the loss of each task beneath the job's state."""

    def __init__(self, job: Job, out: TextIO) -> None:
        self.console = Console(file=out)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("job {task.fields[job]} {task.fields[doing]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
            refresh_per_second=4,
        )
        self.bar = self.progress.add_task(
            "", total=job.total_steps or None, job=job.pk, doing="", rate="", losses=""
        )
        self.progress.start()

    def show(self, state: messages.Job, losses: dict[str, float]) -> None:
        """Move the bar."""
        rate = f"{state['rate']:.0f} steps/s" if state["rate"] else ""
        self.progress.update(
            self.bar,
            completed=state["step"],
            doing=_doing(state),
            rate=rate,
            losses=escape(_losses(losses)),
        )

    def say(self, text: str) -> None:
        self.progress.console.print(escape(text))

    def close(self) -> None:
        self.progress.stop()


class _LineView:
    """A line when the state changes, and one every two seconds while it runs."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.last = ("", -1)
        self.said_at = 0.0

    def show(self, state: messages.Job, losses: dict[str, float]) -> None:
        """Print a line if there is something new to say."""
        if not self.is_new(state):
            return
        words = [f"job {state['id']} {_doing(state)}"]
        if state["total_steps"]:
            words.append(f"step {state['step']}/{state['total_steps']}")
        if state["rate"]:
            words.append(f"{state['rate']:.1f} steps/s")
        self.say("  ".join([*words, *filter(None, [_losses(losses)])]))

    def is_new(self, state: messages.Job) -> bool:
        """Return whether there is something new to say, and note it as said."""
        new, now = (_doing(state), state["step"]), time.monotonic()
        if new == self.last or (new[0] == self.last[0] and now - self.said_at < LINE_SECONDS):
            return False
        self.last, self.said_at = new, now
        return True

    def say(self, text: str) -> None:
        self.out.write(f"{text}\n")
        self.out.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class _JsonView(_LineView):
    """The same as JSON: the job's state with its losses; what is said goes to stderr."""

    def show(self, state: messages.Job, losses: dict[str, float]) -> None:
        """Print an object if there is something new to say, and the last in any case."""
        if self.is_new(state) or state["ended"]:
            super().say(json.dumps({**state, "losses": finite(losses)}, allow_nan=False))

    def say(self, text: str) -> None:
        """Keep the stream of objects clean."""
        sys.stderr.write(f"{text}\n")

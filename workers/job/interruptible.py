"""Bodies without steps: a stop or a drain ends them where they stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps

from acc.training.protocols import Command, CommandResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.services import lifecycle
from accsite.apps.training.services import events
from workers.job import promises
from workers.job.context import JobContext
from workers.job.control import DatabaseControl
from workers.job.durable import insist
from workers.job.interruption import Interrupted


def interruptible(body: Callable[[JobContext], None]) -> Callable[[JobContext], None]:
    """Return a body that ends where it stands when it is told to, and writes how."""

    @wraps(body)
    def run(context: JobContext) -> None:
        pk, attempt, lost = context.job.pk, context.attempt, context.lease.fenced
        stops: list[Command] = []

        def heard(command: Command) -> None:
            if command.kind == "stop":
                stops.append(command)
                context.interruption.ask("stop")

        context.lease.when_fenced(partial(context.interruption.ask, "fenced"))
        try:
            with DatabaseControl(pk, prepare=heard):
                body(context)
        except Interrupted as interrupted:
            if interrupted.reason == "fenced":
                raise Fenced(pk, attempt) from None
            if interrupted.reason == "drain":
                reason = f"{context.worker} was shut down; the job begins again on another"
                insist(partial(lifecycle.hand_back, pk, attempt, reason), given_up=lost)
                return
            for command in stops:
                result = CommandResult(command, 0, ok=True)
                insist(partial(events.record_command_result, pk, attempt, result), given_up=lost)
            promises.cancel(context)

    return run

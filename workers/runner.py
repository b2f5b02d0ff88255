"""Runs one job in this process: claim, work, finish. Whatever happens, its row says so while it is ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog
from django.utils.module_loading import import_string
from setproctitle import setproctitle

from acc.errors import AccError, PluginFailed
from acc.text import text_of, traceback_of
from accsite.apps.jobs import kinds
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.services import lifecycle
from accsite.apps.live import frames
from accsite.logging import job_context
from workers.fork import copies
from workers.job import joblog, promises
from workers.job.context import JobContext
from workers.job.durable import GivenUp, disconnect, insist
from workers.job.interruption import Interruption
from workers.job.lease import Lease
from workers.job.records import Pipe
from workers.job.sinks import RecordKeeperLost
from workers.machine import memory
from workers.machine.share import take_share
from workers.ranks import lead

HANDLED = 0

log = structlog.get_logger(__name__)


def main(job_id: int, worker: str, device: str, records: Pipe | None = None) -> int:
    """Claim the job for ``worker``, run it on ``device``, return the exit status: 0 if its row says all.

    records: to the process that keeps the job's records, if it has one.
    """
    copies.protect()
    interruption = Interruption()
    interruption.install()
    setproctitle(f"acc {worker}: job {job_id}")
    with job_context(job_id):
        team = lead.fork_others(job_id, worker)  # while this process has one thread and nothing open
        try:
            claim = lifecycle.claim(job_id, worker)
            if claim is None:
                log.info("not_claimed", hint="taken already, ended, or not for this worker")
                return HANDLED
            joblog.capture(worker, job_id, claim.attempt)
            log.info("claimed", attempt=claim.attempt, kind=claim.job.kind)
            lead.settle(team, claim.job)
            with Lease(job_id, claim.attempt) as lease:
                run(JobContext(claim.job, claim.attempt, worker, device, lease, interruption, team, records))
            return HANDLED
        finally:
            copies.end_if_copy()
            team.dismiss()
            disconnect()
            frames.flush()


def run(context: JobContext) -> None:
    """Run a claimed job and write how it ended; nothing is written once the job is another's."""
    pk, attempt, lost = context.job.pk, context.attempt, context.lease.fenced
    with suppress(GivenUp):
        try:
            if not insist(partial(lifecycle.start, pk, attempt), given_up=lost):
                raise Fenced(pk, attempt)
            take_share(context.device, ranks=context.team.here)
            body_of(context.job.kind)(context)
        except (Fenced, GivenUp):
            log.warning("abandoned", hint="the job was taken from this worker; nothing more is written")
        except RecordKeeperLost as error:
            log.error("record_keeper_lost")
            promises.give_back(context, str(error))
        except AccError as error:
            log.warning("job_failed", error=text_of(error))
            # Where in a plugin it went wrong is for its author; other refusals say all in their sentence.
            where = traceback_of(error) if isinstance(error, PluginFailed) else ""
            promises.fail(context, text_of(error), where)
        except BaseException as error:
            memory.lift()
            log.exception("job_failed")
            message = memory.in_words(error, ranks=context.team.here)
            promises.fail(context, message, traceback_of(error))


def body_of(kind: str) -> Callable[[JobContext], None]:
    """Return what runs jobs of a kind; raises AccError for one that nothing runs."""
    body = BODIES.get(kind)
    if body is None:
        raise AccError(f"jobs of kind {kind!r} cannot be run; there are: {', '.join(sorted(BODIES))}")
    return body


BODIES: dict[str, Callable[[JobContext], None]] = {
    kind.name: import_string(kind.body) for kind in kinds.KINDS.values() if kind.queue
}

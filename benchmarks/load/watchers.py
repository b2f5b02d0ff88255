"""A hundred browsers watch one training job: what that costs the job, and whether each of them sees its last step.

Jobs with and without them take turns; half of the time the watched one goes first.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from acc import wire
from benchmarks.live import web
from benchmarks.load.processor import called, exit_when_terminated, used_by
from benchmarks.platform_under_test import ROOT, digits, run_to_its_end, wait_for, worker
from benchmarks.rows import Row, median, report

BROWSERS = 100
ROUNDS = 3
JOB_SECONDS = 15
STEPS = (100, 4000)
WORKER = "worker-train"
SEEN_SECONDS = 30.0


@dataclass
class Seen:
    """What one browser saw of a job: the step behind the last one, by frames alone and after asking for the rest."""

    by_frames: int = 0
    step: int = 0
    frames: int = 0
    gaps: int = 0


async def browse(port: int, cookies: str, job: int, ready: asyncio.Event) -> Seen:
    """Watch a job to its end as a page does: points from frames, and from REST what the frames left out."""
    from accsite.apps.live.tests.socket_client import open_socket

    seen = Seen()
    socket = await open_socket(port, cookies=cookies)
    await socket.send({"type": "subscribe", "topics": {f"job:{job}": 0, "jobs": 0}, "jobs": [job]})
    await socket.until("job", 30)
    ready.set()
    ended = False
    while not (ended and seen.by_frames >= seen.step):
        try:
            message = await socket.receive(SEEN_SECONDS if not ended else 2.0)
        except TimeoutError:
            break
        if isinstance(message, bytes):
            header, _ = wire.decode(message)
            seen.frames += 1
            seen.gaps += header["start"] > seen.by_frames
            seen.by_frames = max(seen.by_frames, header["start"] + header["count"])
        elif message.get("type") == "job" and message.get("id") == job and message["ended"]:
            ended, seen.step = True, message["step"]
    await socket.close()
    if seen.by_frames < seen.step:
        seen.step = await asyncio.to_thread(last_step, port, cookies, job, seen.by_frames)
    return seen


def last_step(port: int, cookies: str, job: int, start: int) -> int:
    """Return the step behind the last one that the site gives from ``start`` on."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/jobs/{job}/loss_history/?from={start}",
        headers={"Cookie": cookies, "Accept": wire.CONTENT_TYPE},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        header, values = wire.decode(answer.read())
    return int(header["start"] + values.shape[1])


async def browsers(port: int, cookies: str, job: int) -> None:
    """Open all, say so, watch, and print what each saw."""
    events = [asyncio.Event() for _ in range(BROWSERS)]
    tasks = [asyncio.create_task(browse(port, cookies, job, event)) for event in events]
    await asyncio.gather(*(event.wait() for event in events))
    print("ready", flush=True)
    print(json.dumps([asdict(seen) for seen in await asyncio.gather(*tasks)]), flush=True)


class Meter(threading.Thread):
    """Reads how much processor time a job's process has used, as long as it lives."""

    def __init__(self, job: int) -> None:
        super().__init__(daemon=True)
        self.job, self.used = job, 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Find the process and look at it ten times a second."""
        pid = None
        while not self.over.wait(0.1):
            pid = pid or called(f"acc {WORKER}: job {self.job}")
            if pid is not None:
                self.used = max(self.used, used_by(pid))


@dataclass
class Run:
    """A finished job: its rate, its process's processor seconds a step, what was seen of it, what the site used."""

    rate: float
    cost: float
    step: int
    seen: list[Seen]
    site_share: float


def train(branch: Any, steps: int, seed: int, site: tuple[int, str], *, watched: bool) -> Run:
    """Run a job, watched or not; it begins once everybody looks."""
    from accsite.apps.jobs.services import workers
    from accsite.apps.training.services import jobs

    port, cookies = site
    workers.drain(name=WORKER)
    branch.refresh_from_db()
    spec = {"steps": steps, "batch_size": 64, "seed": seed, "threads": 1, "checkpoint_every_seconds": None}
    job = jobs.submit_training(actor=None, branch=branch, train=spec)
    crowd = None
    if watched:
        command = [sys.executable, "-m", "benchmarks.load.watchers", str(port), cookies, str(job.pk)]
        crowd = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert crowd.stdout is not None
        if crowd.stdout.readline().strip() != "ready":
            raise SystemExit("the browsers could not open their pages")
    daphne = called(f"-p {port} accsite.asgi")
    assert daphne is not None
    meter = Meter(job.pk)
    meter.start()
    before = used_by(daphne)
    workers.resume(name=WORKER)
    run_to_its_end(job, every=0.2)
    used = used_by(daphne) - before
    meter.over.set()
    seen = []
    if crowd is not None:
        output, _ = crowd.communicate(timeout=120)
        seen = [Seen(**each) for each in json.loads(output)]
    result = job.result
    return Run(
        rate=float(result["steps_per_second"]),
        cost=meter.used / steps,
        step=job.step,
        seen=seen,
        site_share=used / float(result["seconds"]),
    )


def main() -> None:
    with digits() as (branch, home), worker(WORKER, home), web(home) as port:
        from benchmarks.live import signed_in_with_a_job

        cookies, _ = signed_in_with_a_job()
        site = port, cookies
        wait_for(lambda: called(f"-p {port} accsite.asgi") is not None)
        warm = train(branch, STEPS[0], 0, site, watched=False)
        steps = int(min(max(warm.rate * JOB_SECONDS, STEPS[0]), STEPS[1]))
        runs: dict[bool, list[Run]] = {False: [], True: []}
        for round_ in range(ROUNDS):
            for watched in (False, True) if round_ % 2 == 0 else (True, False):
                runs[watched].append(train(branch, steps, round_, site, watched=watched))
    alone, crowded = runs[False], runs[True]
    rate, base = median([run.rate for run in crowded]), median([run.rate for run in alone])
    cost, least = median([run.cost for run in crowded]), median([run.cost for run in alone])
    told = [(seen, run.step) for run in crowded for seen in run.seen]
    level = sum(seen.step == step for seen, step in told)
    frames, gaps = sum(seen.frames for seen, _ in told), sum(seen.gaps for seen, _ in told)
    said = (
        f"{rate:.1f} steps/s; the job's processor time a step {cost / least:.3f} x; the site took "
        f"{median([run.site_share for run in crowded]):.2f} cores"
    )
    baseline = f"nobody watches {base:.1f} steps/s"
    report(
        Row(f"job watched by {BROWSERS} browsers, steps/s", rate / base, "x", 0.98, "higher", said, baseline)
    )
    said = f"{level} of {len(told)}; {frames:,} frames of points, {gaps} gaps filled by REST"
    report(Row("browsers whose last step is the database's", level / len(told), "x", 1.0, "higher", said))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(browsers(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    else:
        exit_when_terminated()
        main()

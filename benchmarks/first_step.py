"""From `submit` to the first step: with a worker that is warm, and with one that has yet to start."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.platform_under_test import digits, run_to_its_end, worker
from benchmarks.rows import Row, median, report

WARM_ROUNDS = 7
COLD_ROUNDS = 2
STEPS = 3


def seconds_to_first_step(branch: Any) -> float:
    """Return the wall time from before the submit to the end of step 0, which the training thread noted."""
    from accsite.apps.training.selectors import loss_history
    from accsite.apps.training.services import jobs

    branch.refresh_from_db()
    started = time.time()
    job = run_to_its_end(jobs.submit_training(actor=None, branch=branch, train={"steps": STEPS}))
    header, _columns = loss_history(job, clock=True)
    return float(header["clock"][1][0]) - started


def main() -> None:
    """Measure warm and cold and print the row."""
    with digits() as (branch, home):
        cold = []
        for _ in range(COLD_ROUNDS):
            # The worker starts at the moment of the submit, so all its imports are counted.
            with worker("worker-train", home, wait=False):
                cold.append(seconds_to_first_step(branch))
        with worker("worker-train", home):
            seconds_to_first_step(branch)
            warm = [seconds_to_first_step(branch) for _ in range(WARM_ROUNDS)]
    told = f"{1000 * min(warm):.0f} to {1000 * max(warm):.0f} ms in {WARM_ROUNDS} jobs"
    baseline = f"cold worker {median(cold):.1f} s"
    report(Row("submit to first step, warm worker", 1000 * median(warm), "ms", 300, "lower", told, baseline))


if __name__ == "__main__":
    main()

"""A zygote has imported all that jobs need and woken no GPU: its forks, and theirs, train on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.machine import GPU, NEEDS_GPU
from workers.tests.test_zygote import in_a_zygote

pytestmark = [NEEDS_GPU, pytest.mark.timeout(600)]


def test_a_fork_and_its_fork_train_on_a_gpu(tmp_path: Path) -> None:
    """As a job's process does, which forks its other ranks before it touches CUDA."""
    out = in_a_zygote(
        f"""
        import os, sys
        def train(who):
            from acc.tests import helpers
            data = {{"data": helpers.blobs(60)}}
            trainer, _ = helpers.run(helpers.job(data, steps=3, device="{GPU}"), data)
            assert trainer.device.type == "{GPU.partition(":")[0]}" and trainer.step == 3
            print(who, flush=True)
        def forked(body, *words):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    body(*words)
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
        def job():
            forked(train, "rank 1")
            train("rank 0")
        for _ in range(2):
            forked(job)
            zygote.require_forkable()
        """,
        tmp_path,
    )
    assert out.splitlines() == ["rank 1", "rank 0"] * 2

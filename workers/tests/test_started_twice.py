"""A worker that is started a second time is refused, and the one that runs does not notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workers.fork.client import MARK
from workers.launch import only_one

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, home: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACC_HOME": home, "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_second_worker_of_a_name_is_refused_and_ends_nothing_of_the_first(tmp_path):
    lock = only_one(tmp_path / "run", "train-1")
    assert lock is not None
    mark = f"{tmp_path.resolve()}:train-1"
    with lock, subprocess.Popen(["sleep", "100"], env={**os.environ, MARK: mark}) as of_the_first:
        code = (
            "import sys, threading\n"
            "from workers import launch\n"
            "status = launch.main(['--queues', 'train', '--device', 'cpu', '--name', 'train-1'])\n"
            "for thread in threading.enumerate()[1:]:\n"
            "    thread.join(60)\n"
            "sys.exit(status)\n"
        )
        second = run("-c", code, home=str(tmp_path.resolve()))
        assert second.returncode == 2, second.stderr
        assert "'train-1' runs already" in second.stderr
        assert of_the_first.poll() is None
        of_the_first.kill()


def test_the_mark_names_the_folder_of_the_installation_however_it_was_written(tmp_path):
    (tmp_path / "else").mkdir()
    code = (
        "import os\n"
        "from workers import launch\n"
        "from workers.fork import client\n"
        "client.ForkServerClient.start = lambda _: (print(os.environ[client.MARK], flush=True), os._exit(0))\n"
        "launch.serve(name='train-1', queues=['train'], device='cpu')\n"
    )
    told = run("-c", code, home=f"{tmp_path}/else/..")
    assert told.stdout.strip() == f"{tmp_path.resolve()}:train-1", told.stderr

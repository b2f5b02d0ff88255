"""A fork is set right to be as a process that was started anew, and its end is told as that of one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from acc import forked

ROOT = Path(__file__).resolve().parents[2]
# What is run in the fork: a module of the test's own.
TOLD = """
import json, os, signal, sys
def main():
    print(json.dumps({
        "argv": sys.argv[1:],
        "open": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
        "variables": {name: value for name, value in os.environ.items() if name in {"KEPT", "MARK", "LEFT"}},
        "term": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "blocked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "leads": os.getsid(0) == os.getpid(),
        "read": sys.stdin.read(),
    }))
    return int(sys.argv[1])
"""


def run(tmp_path: Path, code: str, **environment: str) -> str:
    (tmp_path / "told.py").write_text(TOLD)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_a_fork_has_what_it_was_given_and_nothing_else(tmp_path):
    out = run(
        tmp_path,
        """
        import json, os, signal, tempfile
        from acc import forked
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        one, kept, output = (os.open("/dev/null", os.O_RDONLY) for _ in range(2)), os.dup(0), tempfile.TemporaryFile()
        one = list(one)
        fork = forked.fork("told", ["7", "x y"], environment={"KEPT": "1"}, stdout=output.fileno(), keep=[kept])
        status = fork.wait()
        output.seek(0)
        print(json.dumps({"kept": kept, "status": status, "told": json.loads(output.read())}))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGUSR1}
        """,
        LEFT="1",
    )
    import json

    found = json.loads(out)
    assert found["status"] == 7
    assert found["told"] == {
        "argv": ["7", "x y"],
        "open": [0, 1, 2, found["kept"]],
        "variables": {"KEPT": "1"},
        "term": True,
        "blocked": [],
        "leads": True,
        "read": "",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return None", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('why')", 1),
        ("raise LookupError('why')", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
    ],
)
def test_how_a_fork_ended_is_what_a_program_would_have_ended_with(tmp_path, body, status):
    (tmp_path / "ends.py").write_text(f"def main():\n    {body}\n")
    out = run(
        tmp_path,
        "import os; from acc import forked; print(forked.fork('ends', [], environment=os.environ.copy()).wait())",
    )
    assert int(out) == status


def test_what_a_fork_shows_of_its_environment_is_its_own(tmp_path):
    (tmp_path / "shows.py").write_text(
        "import os\nfrom acc import forked\n"
        "def main():\n"
        "    forked.show('MARK', '/home of:train-1')\n"
        "    print(open('/proc/self/environ').read().split('\\0').count('MARK=/home of:train-1'), flush=True)\n"
    )
    out = run(
        tmp_path,
        """
        import os
        from acc import forked
        forked.fork("shows", [], environment=dict(os.environ)).wait()
        print(open("/proc/self/environ").read().count("MARK="))
        """,
        ACC_ROOM="." * 100,
    )
    assert out.split() == ["1", "0"]


def test_a_process_that_is_not_warm_or_has_threads_starts_another_program(tmp_path):
    out = run(
        tmp_path,
        """
        import threading
        from acc import forked
        print(forked.possible())
        forked.warm()
        print(forked.possible())
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        print(forked.possible())
        over.set(); thread.join()
        """,
    )
    assert out.split() == ["False", "True", "False"]
    assert not forked.possible()

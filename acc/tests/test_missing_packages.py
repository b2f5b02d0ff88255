"""Where a package is missing that only some installations have, a sentence says which command installs it.

The other interpreter really has none of them: its packages are those of this one without the optional ones.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

OPTIONAL = ("h5py", "matplotlib", "pyarrow", "tensorboard", "mlflow", "optuna")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of all installed packages but the optional ones."""
    place = tmp_path_factory.mktemp("packages")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for each in Path(folder).iterdir():
            if each.suffix != ".pth" and not each.name.startswith(OPTIONAL):
                (place / each.name).symlink_to(each)
    return place


def run(without: Path, text: str, *words: object) -> str:
    """Return what a program prints that has no optional package."""
    path = f"{ROOT}:{without}"
    command = [sys.executable, "-S", "-c", text, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": path})
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def test_the_packages_are_not_there(without: Path) -> None:
    text = "import importlib.util as u, sys; print([u.find_spec(name) for name in sys.argv[1:]])"
    assert run(without, text, *OPTIONAL).strip() == str([None] * len(OPTIONAL))


LOOK = """
import sys
from pathlib import Path
from acc.data import importers
from acc.errors import InvalidInput
try:
    print(importers.look(Path(sys.argv[1])).rows)
except InvalidInput as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "begins", "what"),
    [
        ("a.h5", b"\x89HDF\r\n\x1a\n", "which is read by h5py"),
        ("a.parquet", b"PAR1", "which is read by pyarrow"),
    ],
)
def test_a_file_whose_reader_is_missing_says_how_it_is_installed(
    without: Path, tmp_path: Path, name: str, begins: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(begins + bytes(1000))
    said = run(without, LOOK, tmp_path / name)
    assert what in said
    assert 'pip install "acc[data]"' in said


def test_what_needs_none_of_them_is_read(without: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8), np.uint8))
    assert run(without, LOOK, tmp_path / "a.npy").strip() == "4"


TRACK = "import sys; from acc.track.__main__ import main; sys.exit(main(sys.argv[1:]))"


def test_event_files_say_how_their_reader_is_installed_and_stores_of_mlflow_need_none(
    without: Path, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "events.out.tfevents.1.here").write_bytes(b"")
    words = ("--folder", tmp_path / "runs", "--only-files")
    said = run(without, TRACK, "import-runs", tmp_path / "logs", *words)
    assert "pip install 'acc[tensorboard]'" in said
    run_ = tmp_path / "mlruns" / "0" / "r"
    (run_ / "metrics").mkdir(parents=True)
    (run_.parent / "meta.yaml").write_text("name: mine\n")
    (run_ / "meta.yaml").write_text("run_id: r\nrun_name: first\nstatus: 3\n")
    (run_ / "metrics" / "loss").write_text("0 1.0 0\n")
    assert "mine/first, 1 points" in run(without, TRACK, "import-runs", tmp_path / "mlruns", *words)


DRAW = """
from acc.errors import InvalidInput
from acc.studies import Study, figures
study = Study(name="s", arms=[{"name": "a"}], seeds=1, outcomes=[{"name": "ufr"}])
try:
    figures.draw(study, [], "svg")
except InvalidInput as error:
    print(error)
"""


SWEEP = """
import sys
from acc.errors import InvalidInput
from acc.studies import Outcome
from acc.studies.sweep import Sweep, advance, require_optuna
asked = Sweep(space="lr: .1 to 1", seeds=2, sampler=sys.argv[1], prune=sys.argv[2] == "prune")
try:
    require_optuna(asked)
    print(len(advance(asked, Outcome(name="y"), []).sweep.drawn))
except InvalidInput as error:
    print(error)
"""


def test_a_figure_says_what_draws_it(without: Path) -> None:
    assert run(without, DRAW).strip() == "form: figures need matplotlib: pip install 'acc[figures]'"


@pytest.mark.parametrize(
    ("sampler", "prune", "said"),
    [
        ("random", "", "3"),
        ("grid", "", "3"),
        ("tpe", "", "pip install 'acc[sweeps]'; random and grid work"),
        ("random", "prune", "pip install 'acc[sweeps]'; random and grid work"),
    ],
    ids=["random", "grid", "tpe", "pruned"],
)
def test_a_sweep_draws_without_optuna_or_says_what_installs_it(without: Path, sampler, prune, said) -> None:
    assert run(without, SWEEP, sampler, prune).strip().endswith(said)

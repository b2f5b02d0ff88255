"""A sweep in a notebook: no trial is done twice, whatever is killed, and its winner is confirmed on fresh seeds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import acc
from acc.errors import InvalidInput
from acc.studies.run_sweep import SweepRun
from acc.tests.test_study_runs import DATA, OPTIONS

SPACE = {
    "lr": "1e-4 to 1e-1 log",
    "tasks.Reconstruction.weight": "1 to 50 log",
    "optimizer": ["adamw", "sgd"],
}


def sweep(folder: Path, **changes: Any) -> SweepRun:
    asked = {"outcome": "psnr", "trials": 5, "seeds": 2, "folder": folder, "workers": 2, "prune": True}
    return acc.sweep(DATA, **{"space": SPACE, **asked, **OPTIONS, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SweepRun:
    return sweep(tmp_path_factory.mktemp("sweep"))


def outline(run: SweepRun) -> Any:
    values = {(each.arm, each.seed): each.values["psnr"].value for each in run.results}
    return run.sweep.drawn, values


def test_trials_are_drawn_trained_ranked_and_nothing_is_claimed(done: SweepRun) -> None:
    ranked = done.ranking()
    assert len(ranked) == 6
    assert {stand.state for stand in ranked} <= {"done", "pruned"}
    assert ranked[0].n == 2
    assert ranked[0].low is not None
    assert done.verdicts() == []
    assert "The order is no verdict" in str(done)
    assert "better" not in str(done)
    arm = done.study.arm("trial 1")
    assert set(arm.changes) <= {"train", "tasks"}
    assert not arm.unsaid()
    assert done.study.settings_of("trial 1")["train"]["lr"] == done.sweep.drawn[0].values["lr"]
    assert done.trials[0].in_space
    assert done.trials[0].values["lr"] == 2e-3, "its default"


def test_the_same_folder_does_nothing_twice_and_takes_more_trials(done: SweepRun) -> None:
    def files() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (done.folder / "results").iterdir()}

    before, drawn = files(), done.sweep.drawn
    again = sweep(done.folder)
    assert files() == before
    assert outline(again) == outline(done)
    more = sweep(done.folder, trials=6)
    assert more.sweep.drawn[:5] == tuple(drawn)
    assert before.items() < files().items()
    with pytest.raises(InvalidInput, match="holds another sweep, of another sampler"):
        sweep(done.folder, sampler="random")


KILLED = """
import sys
from pathlib import Path
from acc.tests.test_sweep_runs import sweep
sweep(Path(sys.argv[1]))
"""


def as_soon_as_it_is_let_go_of(folder: Path) -> SweepRun:
    """Go on with a sweep once what was forked of it has ended."""
    until = time.monotonic() + 20
    while True:
        try:
            return sweep(folder, workers=1)
        except InvalidInput as error:
            if "worked on by another process" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.mark.long(20)
def test_a_sweep_that_is_killed_goes_on_to_the_same_trials_and_numbers(
    done: SweepRun, tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], start_new_session=True)
    results = tmp_path / "results"
    while len(list(results.glob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}
    drawn = json.loads((tmp_path / "sweep.json").read_text())["sweep"]["drawn"]
    gone_on = as_soon_as_it_is_let_go_of(tmp_path)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}.items()
    assert [trial.model_dump(mode="json")["values"] for trial in gone_on.sweep.drawn][: len(drawn)] == [
        trial["values"] for trial in drawn
    ]
    whole = sweep(done.folder)
    assert outline(gone_on)[0][:5] == outline(whole)[0][:5]
    assert outline(gone_on)[1].items() <= outline(whole)[1].items()


def test_the_winner_is_confirmed_on_seeds_that_the_sweep_did_not_use(done: SweepRun) -> None:
    best = next(stand for stand in done.ranking() if stand.number)
    if done.ranking()[0].number == 0:
        with pytest.raises(InvalidInput, match="ranks before every trial"):
            done.confirm(2)
        return
    confirmed = done.confirm(2, by=0.01)
    assert confirmed.study.seeds == (2, 3)
    assert confirmed.study.chosen_on == (0, 1)
    (verdict,) = confirmed.verdicts()
    assert verdict.claim == f"{best.arm} > as it is on psnr by at least .01"
    with pytest.raises(InvalidInput, match="seed 1 is refused"):
        confirmed.study.revised(seen=2, seeds=(1, 2, 3))
    assert done.confirm(3).study.seeds == (2, 3, 4)


@pytest.mark.parametrize("text", ["{", "[]", '{"sweep": {}}', '{"sweep": {"space": 3}, "outcome": {}}'])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path, text) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(InvalidInput, match="is damaged") as told:
        sweep(tmp_path)
    assert "sweep.json" in told.value.fields["folder"][0]
    assert (tmp_path / "sweep.json").read_text() == text


@pytest.mark.parametrize(
    ("wrong", "field", "sentence"),
    [
        ({"space": {"lr": "1e-4 to 100 log"}}, "space.lr", "100 is refused"),
        ({"space": {"tasks.nothing.weight": "1 to 2"}}, "space.tasks.nothing.weight", "names 0 of the tasks"),
        ({"space": {"speed": "1 to 2"}}, "space.speed", "speed"),
        ({"space": {"optimizer": ["adam", "fast"]}}, "space.optimizer", "fast is refused"),
        ({"seed_of_the_model": 3}, "train.seed_of_the_model", ""),
        ({"outcome": {"name": "psnr", "higher_is_better": None}}, "outcome", "no better end"),
    ],
    ids=["bound", "task", "argument", "choice", "option", "direction"],
)
def test_bad_input_names_the_field_and_begins_nothing(tmp_path, wrong, field, sentence) -> None:
    with pytest.raises(InvalidInput) as told:
        sweep(tmp_path / "sweep", **wrong)
    if field.startswith("space") or field == "outcome":
        assert sentence in str(told.value.fields[field])
    assert not (tmp_path / "sweep").exists()

"""A study in a notebook: each arm and seed once, whatever is killed, and the same numbers in every form."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import acc
from acc.api import Task
from acc.errors import InvalidInput
from acc.studies import Study
from acc.studies.run import StudyRun
from acc.tests import helpers

DATA = helpers.blobs(80)
DIGIT = {"task_class": "ClassificationTask", "factor": "digit", "params": {"target_name": "digit"}}
OPTIONS: dict[str, Any] = {
    "tasks": [{"task_class": "ReconstructionTask", "weight": 10}, DIGIT],
    "factors": {"digit": 3, "size": 2},
    "latent_dim": 6,
    "model": {"architecture": "ConvVAE", "params": {"base_channels": 4, "depth": 2}},
    "steps": 3,
    "batch_size": 16,
    "device": "cpu",
}
ARMS = {"slow": {"lr": 1e-4}, "fast": {"lr": 1e-2}}


def study(folder: Path, **changes: Any) -> StudyRun:
    asked: dict[str, Any] = {
        "arms": ARMS,
        "seeds": 3,
        "outcomes": ["accuracy", {"name": "psnr", "unit": "dB"}, "images"],
        "claims": "fast > slow on psnr",
        "folder": folder,
        "workers": 2,
        **OPTIONS,
        **changes,
    }
    return acc.study(DATA, asked.pop("arms"), **asked)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return study(tmp_path_factory.mktemp("study"))


def values(run: StudyRun) -> dict[Any, Any]:
    return {
        (each.arm, each.seed): {name: value.value for name, value in each.values.items()}
        for each in run.results
    }


def test_two_arms_of_three_seeds_are_trained_measured_and_judged(done: StudyRun) -> None:
    assert [each.status for each in done.results] == ["succeeded"] * 6
    assert {each.facts["device"] for each in done.results} == {"cpu"}
    assert all(each.values["images"].value == 48 for each in done.results)
    rows = done.table()
    assert [(row["outcome"], row["arm"], row["n"]) for row in rows[:2]] == [
        ("accuracy", "slow", 3),
        ("accuracy", "fast", 3),
    ]
    (verdict,) = done.verdicts()
    assert verdict.n == 3
    assert verdict.decision == "not decided yet"
    assert "3 seeds cannot decide at .05 with a two-sided test; 6 can" in verdict.sentence
    psnr = values(done)
    assert verdict.differences[1] == pytest.approx(psnr["fast", 1]["psnr"] - psnr["slow", 1]["psnr"])
    assert "fast" in str(done)
    assert "6 succeeded" in str(done)


def test_processes_and_this_process_come_to_the_same_to_the_bit(done: StudyRun, tmp_path: Path) -> None:
    here = study(tmp_path, workers=0, seeds=2)
    assert values(here) == {place: value for place, value in values(done).items() if place[1] < 2}


def test_a_study_that_is_there_is_not_done_again_and_seeds_can_be_added(tmp_path: Path) -> None:
    first = study(tmp_path, seeds=1)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    again = study(tmp_path, seeds=1)
    assert values(again) == values(first)
    more = again.add_seeds(1)
    assert more.study.seeds == (0, 1)
    assert len(list((tmp_path / "results").iterdir())) == 4
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    kept = Study.from_json((tmp_path / "study.json").read_text())
    assert kept.changed_after_looking
    assert kept.changes[0].what == ("1 seed added (1 before)",)
    assert (
        "The plan was changed after looking: 1 seed added" in study(tmp_path, seeds=2).verdicts()[0].sentence
    )


def test_what_is_measured_otherwise_under_the_same_name_is_measured_anew(tmp_path: Path) -> None:
    grids = {"one": helpers.blobs(60, seed=5), "two": helpers.blobs(60, seed=6)}
    asked: dict[str, Any] = {"seeds": 1, "claims": (), "measure_on": grids}
    ufr = {"name": "ufr", "options": {"concepts": ["digit", "size"]}, "dataset": "one"}
    first = study(tmp_path, outcomes=[ufr], **asked).results[0].values["ufr"]
    other = study(tmp_path, outcomes=[{**ufr, "dataset": "two"}], **asked)
    assert other.results[0].values["ufr"].sample != first.sample
    more = study(tmp_path, outcomes=["steps", ufr], **asked)
    assert more.results[0].values["steps"].value == 3
    assert more.results[0].values["ufr"] == first
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    assert len(stamps) == 6
    study(tmp_path, outcomes=[{**ufr, "unit": "points"}, "steps"], **asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()} == stamps


CELL = """
from acc.api import Param, Task

class Small(Task):
    power = Param(2, help="of the latent")

    def compute_loss(self, output, batch, head, step):
        return self.latent(output).square().mean() * 1
"""


def test_a_class_of_a_notebook_that_was_changed_is_another_arm(tmp_path: Path) -> None:
    def settings(cell: str) -> str:
        names: dict[str, Any] = {"__name__": "a cell"}
        exec(cell, names)
        arms = {"one": {"tasks": [*OPTIONS["tasks"], names["Small"]]}}
        run = study(tmp_path, arms=arms, claims=(), run=False)
        assert not run.study.changes
        (tmp_path / "study.json").unlink()
        return run.path(("one", 0)).name

    assert settings(CELL) == settings(f"\n\n# moved{CELL}")
    assert settings(CELL) != settings(CELL.replace("* 1", "* 2"))
    assert settings(CELL) != settings(CELL.replace("Param(2", "Param(3"))


KILLED = """
import sys
from pathlib import Path
from acc.tests.test_study_runs import study
study(Path(sys.argv[1]), seeds=4)
"""


def test_a_study_that_is_killed_goes_on_where_it_was(done: StudyRun, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for least in (1, 3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], start_new_session=True)
        until = time.monotonic() + 60
        while (
            not (results.exists() and len(list(results.glob("*.json"))) >= least) and process.poll() is None
        ):
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path: path.read_bytes() for path in results.glob("*.json")}
    until = time.monotonic() + 20
    while True:  # what was forked ends with its parent, and lets go of the folder
        try:
            run = study(tmp_path, seeds=4)
            break
        except InvalidInput as error:
            if "worked on by another process" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)
    assert {path: path.read_bytes() for path in before} == before, "what was done is not done again"
    assert [each.status for each in run.results] == ["succeeded"] * 8
    assert {place: value for place, value in values(run).items() if place[1] < 3} == values(done)


class FailsOnSeedOne(Task):
    """Fails in one seed of three, in one arm."""

    def compute_loss(self, output, batch, head, step):
        if step.job.seed == 1:
            raise RuntimeError("seed one is unlucky")
        return self.latent(output).square().mean()


class FailsOnceOnSeedOne(Task):
    """Fails in one seed of three until there is room."""

    def compute_loss(self, output, batch, head, step):
        if step.job.seed == 1 and not Path(os.environ["ROOM"]).exists():
            raise RuntimeError("no room")
        return self.latent(output).square().mean()


class DiesOnSeedOne(FailsOnSeedOne):
    """Takes its process with it."""

    def compute_loss(self, output, batch, head, step):
        if step.job.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.latent(output).square().mean()


def test_a_seed_that_fails_is_counted_with_its_reason(tmp_path: Path) -> None:
    arms = {"plain": {}, "unlucky": {"tasks": [*OPTIONS["tasks"], FailsOnSeedOne]}}
    run = study(tmp_path, arms=arms, claims="unlucky > plain on psnr")
    failed = next(each for each in run.results if each.status == "failed")
    assert (failed.arm, failed.seed) == ("unlucky", 1)
    assert "seed one is unlucky" in failed.reason
    (verdict,) = run.verdicts()
    assert (verdict.n, verdict.failed) == (2, 1)
    assert "1 of 3 pairs of seeds failed (seed 1, unlucky: failed:" in verdict.sentence
    assert next(row for row in run.table() if row["arm"] == "unlucky")["failed"] == 1


def test_a_seed_that_failed_is_done_again_on_request_and_verdicts_tell_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOM", str(tmp_path / "room"))
    arms = {"plain": {}, "unlucky": {"tasks": [*OPTIONS["tasks"], FailsOnceOnSeedOne]}}
    asked: dict[str, Any] = {"arms": arms, "claims": "unlucky > plain on psnr"}
    run = study(tmp_path, **asked)
    assert [each.failed for each in run.verdicts()] == [1]
    kept = {path: path.read_bytes() for path in (tmp_path / "results").glob("*.json")}
    assert [each.failed for each in study(tmp_path, **asked, retry_failed=True).verdicts()] == [1]
    (tmp_path / "room").touch()
    assert [each.failed for each in study(tmp_path, **asked).verdicts()] == [1], "not without being asked"
    again = study(tmp_path, **asked, retry_failed=True)
    (verdict,) = again.verdicts()
    assert (verdict.n, verdict.failed) == (3, 0)
    assert "seed 1 of 'unlucky' failed before and succeeded when tried again." in verdict.notes
    (before,) = [each for each in again.results if each.failed_before]
    assert (before.arm, before.seed) == ("unlucky", 1)
    assert "no room" in before.failed_before
    assert again.seen == len(kept) == 6
    changed = [path for path, before in kept.items() if path.read_bytes() != before]
    assert len(changed) == 1, "nothing else is done twice"


def test_a_process_that_dies_is_told_and_tried_again_when_the_study_is(tmp_path: Path) -> None:
    arms = {"plain": {}, "deadly": {"tasks": [*OPTIONS["tasks"], DiesOnSeedOne]}}
    run = study(tmp_path, arms=arms, claims=(), seeds=2)
    reasons = [each.reason for each in run.results if each.status == "failed"]
    assert reasons == ["its process ended by signal 9"]
    assert len(list((tmp_path / "results").glob("*.json"))) == 3


def test_arms_may_share_a_root_of_each_seed(tmp_path: Path) -> None:
    run = study(tmp_path, seeds=2, root={"steps": 2})
    assert [each.status for each in run.results] == ["succeeded"] * 4
    roots = sorted((tmp_path / "roots").glob("*.safetensors"))
    assert len(roots) == 2, "one a seed, for both arms"
    assert run.study.settings["root"]["train"]["steps"] == 2


def test_a_root_of_another_model_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="root: 'slow' cannot go on from it: its model differs in latent_dim"
    ):
        study(tmp_path, root={"latent_dim": 9})


def test_it_stops_when_it_is_decided(tmp_path: Path) -> None:
    run = study(
        tmp_path,
        arms={"one": {}, "two": {"steps": 1}},
        outcomes=["images"],
        claims="one > two on images",
        seeds=30,
        stop_when_decided=True,
    )
    (verdict,) = run.verdicts()
    assert verdict.decision == "decided for"
    assert verdict.test == "sequential sign-flip test"
    done = [each for each in run.results if each.status == "succeeded"]
    assert 12 <= len(done) <= 16, "six seeds, and what was begun meanwhile"


def test_arms_that_differ_in_more_than_was_said_are_named(tmp_path: Path) -> None:
    """Two methods of two papers train at two rates; who compares them by their names should hear of it."""
    arms: dict[str, dict[str, Any]] = {
        "beta": {"method": "beta_vae"},
        "dip": {"method": "dip_vae", "steps": 4},
    }
    plan = acc.study(DATA, arms, outcomes=["psnr"], folder=tmp_path, run=False, steps=3).study
    assert plan.arm("dip").unsaid() == ["train.lr"]
    assert plan.warnings() == ["'dip' differs from 'beta' also in train.lr."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arms": {}}, "arms: there is none"),
        ({"arms": {"a": {}, "b": {"lr": -1}}}, "arms.b.lr: -1 is refused"),
        ({"arms": {"a": {}, "b": {"tasks": ["NoTask"]}}}, "arms.b.task_class: 'NoTask' is not a known task"),
        ({"claims": "fast > slow on mig"}, "no outcome is called 'mig'"),
        (
            {"outcomes": [{"name": "psnr", "dataset": "grid"}]},
            "'grid' is not a dataset of this study; there are: data",
        ),
        ({"outcomes": [{"name": "psnr", "options": {"rows": "most"}}]}, "outcomes.psnr.options.rows"),
        ({"workers": -1}, "workers: -1 is refused"),
        ({"seed": 3}, "seed: 3 is refused; seeds says which there are"),
        ({"root": {"model_seed": 3}}, "root.model_seed: 3 is refused; a seed of the study seeds"),
        (
            {"arms": {"a": {}, "b": {"start_from": "x.safetensors"}}},
            "arms.b.start_from: 'x.safetensors' is refused; root is what all arms",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_run(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        study(tmp_path, **changes)
    assert not list(tmp_path.glob("results/*.json"))


def test_an_outcome_that_was_not_measured_says_what_was(tmp_path: Path) -> None:
    run = study(tmp_path, seeds=1, outcomes=["perplexity", "psnr"], claims=())
    assert "'perplexity' was not measured; measured:" in run.results[0].values["perplexity"].reason
    assert run.results[0].values["psnr"].value is not None


def test_factors_are_measured_on_a_dataset_that_nobody_was_trained_on(tmp_path: Path) -> None:
    outcomes = [{"name": "ufr", "dataset": "grid", "options": {"concepts": ["digit", "size"]}}]
    run = study(
        tmp_path, seeds=1, outcomes=outcomes, claims=(), measure_on={"grid": helpers.blobs(60, seed=5)}
    )
    samples = {each.values["ufr"].sample for each in run.results}
    assert len(samples) == 1, "both arms on the same images"
    assert samples != {""}
    assert all(each.values["ufr"].value is not None for each in run.results)


def test_every_form_has_the_same_numbers(done: StudyRun, tmp_path: Path) -> None:
    from pyarrow import parquet

    done.to_csv(tmp_path / "study.csv")
    done.to_parquet(tmp_path / "study.parquet")
    rows = list(csv.DictReader((tmp_path / "study.csv").open()))
    table = parquet.read_table(tmp_path / "study.parquet")
    assert len(rows) == table.num_rows == 18
    assert [float(row["value"]) for row in rows] == table.column("value").to_pylist()
    assert Study.from_json(table.schema.metadata[b"acc.study"].decode()) == done.study
    latex = done.to_latex()
    assert r"psnr (dB)" in latex
    assert latex.count(r"\\") == 3
    assert "cannot decide" in latex


def test_the_page_stands_alone_and_says_all(done: StudyRun, tmp_path: Path) -> None:
    done.to_html(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert not re.search(r"<script|<link|src=|https?://|@import|url\(", page)
    assert page.count("<circle") == 3 * 6 + 3, (
        "a dot for each seed of each arm and outcome, and each difference"
    )
    for said in (done.study.sha256, done.verdicts()[0].why, DATA.content_hash, "torch", "train"):
        assert said in page
    assert json.dumps(done.study.arms[1].changes["train"]["lr"]) in page


def test_only_one_process_works_on_a_folder(tmp_path: Path) -> None:
    import fcntl

    run = study(tmp_path, run=False)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InvalidInput, match="being worked on by another process"):
            run.go()


def test_a_plan_that_is_worked_on_is_not_replaced(tmp_path: Path) -> None:
    import fcntl

    study(tmp_path, run=False)
    kept = (tmp_path / "study.json").read_bytes()
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InvalidInput, match="being worked on by another process"):
            study(tmp_path, seeds=9)
        with pytest.raises(InvalidInput, match="being worked on by another process"):
            StudyRun(Study.from_json(kept.decode()), study(tmp_path, run=False)._local, tmp_path).add_seeds(1)
        assert (tmp_path / "study.json").read_bytes() == kept


def test_the_first_weights_are_of_the_seed_also_of_a_model_that_brings_a_seed(tmp_path: Path) -> None:
    model = {**OPTIONS["model"], "seed": 7}
    own = study(tmp_path, arms={"one": {}}, claims=(), seeds=2, model=model, run=False)
    assert [own._local.planned("one", seed).job.model.seed for seed in (0, 1)] == [0, 1]

"""What TensorBoard and MLflow have written is taken over, value for value, and once."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest

from acc import journal
from acc.errors import InvalidInput
from acc.track import file as files
from acc.track.__main__ import main
from acc.track.stores import import_runs


def told(path) -> dict[str, dict[int, float]]:
    """Return series -> step -> value of a journal."""
    found: dict[str, dict[int, float]] = {}
    for record in files.records(path):
        if record.says == "points":
            points = journal.points_of(record)
            for name, values in zip(points.series, points.values, strict=True):
                found.setdefault(name, {}).update(zip(points.steps.tolist(), values.tolist(), strict=True))
    return found


def test_event_files_of_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for name in ("one", "deep/two"):
        with SummaryWriter(str(tmp_path / "logs" / name)) as writer:
            for step in range(0, 100, 10):
                writer.add_scalar("train/loss, raw", 1 / (step + 1), step)
                writer.add_scalar("acc", step, step)
            writer.add_scalar("acc", float("nan"), 200)
            writer.add_text("words", "none of it", 0)
            writer.add_histogram("h", np.arange(3), 0)
    made = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert sorted(each.branch for each in made) == ["logs/deep two", "logs/one"]
    values = told(made[0].path)
    assert sorted(values) == ["acc", "train/loss; raw"]
    assert values["train/loss; raw"] == {
        step: float(np.float32(1 / (step + 1))) for step in range(0, 100, 10)
    }
    assert math.isnan(values["acc"][200])
    before = made[0].path.read_bytes()
    assert all(each.known for each in import_runs(tmp_path / "logs", folder=tmp_path / "runs"))
    import_runs(tmp_path / "logs", folder=tmp_path / "others")
    assert (tmp_path / "others" / made[0].path.name).read_bytes() == before


def test_a_file_store_of_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"file:{tmp_path / 'mlruns'}")
    mlflow.set_experiment("mine: one")
    with mlflow.start_run(run_name="first"):
        mlflow.log_params({"lr": 0.1})
        for step in range(5):
            mlflow.log_metrics({"val/loss": 1 / (step + 1)}, step=step)
    with pytest.raises(ZeroDivisionError), mlflow.start_run(run_name="second"):
        mlflow.log_metric("x", 1.0, step=3)
        1 / 0  # noqa: B018
    made = {each.branch: each for each in import_runs(tmp_path / "mlruns", folder=tmp_path / "runs")}
    assert sorted(made) == ["mine: one/first", "mine: one/second"]
    first = made["mine: one/first"].path
    assert told(first) == {"val/loss": {step: float(np.float32(1 / (step + 1))) for step in range(5)}}
    assert files.first(first).header["config"]["lr"] == "0.1"
    ends = {name: list(files.records(each.path))[-1].header["state"] for name, each in made.items()}
    assert ends == {"mine: one/first": "SUCCEEDED", "mine: one/second": "FAILED"}


def test_what_holds_no_runs_is_refused_with_what_would(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InvalidInput, match="holds no runs; give a folder of TensorBoard's event files"):
        import_runs(tmp_path, folder=tmp_path / "runs")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (a)")
    with pytest.raises(InvalidInput, match="is no store of MLflow: no such table"):
        import_runs(other, folder=tmp_path / "runs")
    assert main(["import-runs", str(tmp_path / "notes.txt")]) == 2
    assert "holds no runs" in capsys.readouterr().err


def test_folders_of_two_projects_that_are_called_alike_are_two_runs(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    made = []
    for project, value in (("a", 1.0), ("b", 2.0)):
        logs = tmp_path / project / "lightning_logs"
        with SummaryWriter(str(logs / "version_0")) as writer:
            writer.add_scalar("loss", value, 0)
        made += import_runs(logs, folder=tmp_path / "runs")
    assert [(each.branch, told(each.path)["loss"][0], each.known) for each in made] == [
        ("lightning_logs/version_0", 1.0, False),
        ("lightning_logs/version_0", 2.0, False),
    ]


def test_what_a_killed_import_has_left_is_begun_anew(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "logs")) as writer:
        writer.add_scalar("loss", 1.0, 0)
    (made,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    whole = made.path.read_bytes()
    made.path.rename(made.path.with_suffix(".part"))  # as it was just before it had its name
    (again,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert (again.known, again.path.read_bytes()) == (False, whole)

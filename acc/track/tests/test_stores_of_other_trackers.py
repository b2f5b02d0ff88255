"""What TensorBoard and MLflow have written is taken over, value for value, and once."""

from __future__ import annotations

import contextlib
import lzma
import math
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc import journal
from acc.errors import InvalidInput
from acc.track import file as files
from acc.track.__main__ import main
from acc.track.stores import import_runs
from acc.track.tests.stores import mlflow_store


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


def ends(path) -> list[str]:
    return [record.header["state"] for record in files.records(path) if record.says == "end"]


def test_a_run_that_has_grown_is_continued_and_nothing_of_it_is_told_twice(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    def write(steps, series="loss"):
        with SummaryWriter(str(tmp_path / "logs")) as writer:
            for step in steps:
                writer.add_scalar(series, 1 / (step + 1), step)
            writer.add_scalar(series, float("nan"), 10**6)

    write(range(20))
    (first,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert (first.points, first.known) == (21, False)
    before = first.path.read_bytes()
    (again,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert (again.points, again.known, again.path.read_bytes()) == (0, True, before)
    assert str(again).endswith("was imported before, nothing new")
    time.sleep(1.1)  # the files of a run are named by the second
    write(range(15, 30))
    write(range(3), "kl")
    (grown,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert (grown.points, grown.path) == (14, first.path), "ten of loss, and four of kl"
    assert grown.path.read_bytes().startswith(before)
    assert list(told(grown.path)["loss"]) == [*range(20), 10**6, *range(20, 30)]
    assert list(told(grown.path)["kl"]) == [0, 1, 2, 10**6]


def test_a_run_of_mlflow_that_went_on_ends_as_it_ended_then(tmp_path):
    mlruns, metric = mlflow_store(tmp_path, "0 1.0 0\n1000 0.5 1\n", "4")
    (first,) = import_runs(mlruns, folder=tmp_path / "runs")
    assert ends(first.path) == ["FAILED"]
    metric.write_text("0 1.0 0\n1000 0.5 1\n2000 0.25 2\n")
    meta = metric.parent.parent / "meta.yaml"
    meta.write_text(meta.read_text().replace("status: 4", "status: 3"))
    (grown,) = import_runs(mlruns, folder=tmp_path / "runs")
    assert (grown.points, ends(grown.path)) == (1, ["FAILED", "SUCCEEDED"])
    (same,) = import_runs(mlruns, folder=tmp_path / "runs")
    assert (same.points, ends(same.path)) == (0, ["FAILED", "SUCCEEDED"])


@pytest.mark.parametrize(
    ("lines", "kept", "fault"),
    [
        ("0 1.0 0\nabc\n2000 0.5 2\n", {0: 1.0, 2: 0.5}, "1 line cannot be read, first line 2: 'abc'"),
        ("0 1.0 0\n1000 half 1\n\n", {0: 1.0}, "2 lines cannot be read, first line 2: '1000 half 1'"),
        (b"0 1.0 0\n\xff\xfe\x00\n", {0: 1.0}, "1 line cannot be read, first line 2: "),
        (f"{'9' * 400} 1.0 0\n5 2.0 1\n", {1: 2.0}, "1 line cannot be read, first line 1: '999"),
        (f"0 1.0 {'9' * 5000}\n5 2.0 1\n", {1: 2.0}, "1 line cannot be read, first line 1: '0 1.0 9"),
        ("99999999999999999999 1.0 0\n", {0: 1.0}, ""),  # at no time that there is
    ],
)
def test_a_damaged_line_is_told_and_the_rest_imported(tmp_path, capsys, lines, kept, fault):
    mlruns, _ = mlflow_store(tmp_path, lines)
    status = main(["import-runs", str(mlruns), "--folder", str(tmp_path / "runs"), "--only-files"])
    said = capsys.readouterr()
    assert (status, fault in said.err, "Traceback" in said.err) == (1 if fault else 0, True, False)
    assert "the rest was imported" in said.err or not fault
    (path,) = (tmp_path / "runs").iterdir()
    assert told(path) == {"loss": kept}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_in_a_store_make_it_fail_without_a_sentence(lines, meta):
    with tempfile.TemporaryDirectory() as folder:
        mlruns, metric = mlflow_store(Path(folder), lines)
        (metric.parent.parent / "meta.yaml").write_bytes(b"run_id: r\n" + meta)
        with contextlib.suppress(InvalidInput):
            for each in import_runs(mlruns, folder=Path(folder) / "runs"):
                assert list(files.records(each.path))


def test_event_files_that_are_damaged_give_what_came_before(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "logs")) as writer:
        for step in range(50):
            writer.add_scalar("loss", step, step)
    (file,) = (tmp_path / "logs").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    (made,) = import_runs(tmp_path / "logs", folder=tmp_path / "runs")
    assert 0 < made.points < 50
    assert "is damaged behind" in made.faults[0]


def first_and_second(store, folder) -> None:
    """Assert that the two runs of a store in SQLite are taken over."""
    made = {each.branch: each for each in import_runs(store, folder=folder)}
    assert sorted(made) == ["mine: one/first", "mine: one/second"]
    assert not any(each.faults for each in made.values())
    first, second = (made[f"mine: one/{name}"].path for name in ("first", "second"))
    values = told(first)
    assert values["val/loss"] == {step: float(np.float32(1 / (step + 1))) for step in range(5)}
    assert math.isnan(values["odd"][2])
    assert values["odd"][3] == math.inf
    assert {name: files.first(first).header["config"][name] for name in ("lr", "note")} == {
        "lr": "0.1",
        "note": "it's",
    }
    assert told(second) == {"x": {3: 1.0}}
    assert (ends(first), ends(second)) == (["SUCCEEDED"], ["FAILED"])


def test_a_store_of_mlflow_in_sqlite_as_it_was_written_by_version_3(tmp_path):
    kept = Path(__file__).with_name("mlflow-3.17.2.db.xz")
    store = tmp_path / "mlflow.db"
    store.write_bytes(lzma.decompress(kept.read_bytes()))
    first_and_second(store, tmp_path / "runs")


def test_a_store_of_mlflow_in_sqlite_as_it_is_written_now(tmp_path, monkeypatch):
    pytest.importorskip("sqlalchemy", reason="mlflow-skinny writes SQLite by SQLAlchemy and Alembic alone")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("mine: one")
    with mlflow.start_run(run_name="first"):
        mlflow.log_params({"lr": 0.1, "note": "it's"})
        for step in range(5):
            mlflow.log_metrics({"val/loss": 1 / (step + 1)}, step=step)
        mlflow.log_metric("odd", math.nan, step=2)
        mlflow.log_metric("odd", math.inf, step=3)
    with pytest.raises(ZeroDivisionError), mlflow.start_run(run_name="second"):
        mlflow.log_metric("x", 1.0, step=3)
        1 / 0  # noqa: B018
    first_and_second(tmp_path / "mlflow.db", tmp_path / "runs")

"""Stores of other trackers, written by hand, for tests."""

from __future__ import annotations

from pathlib import Path


def mlflow_store(folder: Path, lines: str | bytes, status: str = "3") -> tuple[Path, Path]:
    """Return a file store of MLflow with one run of one metric, and the file of that."""
    run = folder / "mlruns" / "0" / "r"
    (run / "metrics").mkdir(parents=True)
    (run.parent / "meta.yaml").write_text("name: mine\n")
    (run / "meta.yaml").write_text(f"run_id: r\nrun_name: first\nstatus: {status}\n")
    (run / "metrics" / "loss").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    return folder / "mlruns", run / "metrics" / "loss"

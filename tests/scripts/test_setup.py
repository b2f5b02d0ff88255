"""The set-up refuses CUDA packages on a CPU machine before the download, and checks again after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import setup

CUDA_REPORT = {
    "version": "1",
    "install": [
        {"metadata": {"name": "torch", "version": "2.13.0"}},
        {"metadata": {"name": "nvidia_cublas", "version": "13.1"}},
        {"metadata": {"name": "Triton", "version": "3.5"}},
        {"metadata": {"name": "cuda.bindings", "version": "13.0"}},
        {"metadata": {"name": "numpy", "version": "2.4"}},
    ],
}
CPU_REPORT = {"version": "1", "install": [{"metadata": {"name": "torch", "version": "2.13.0+cpu"}}]}


def test_a_report_is_read_under_normal_names():
    assert setup.packages_in_report(CUDA_REPORT)["nvidia-cublas"] == "13.1"


def test_cuda_packages_of_a_report_are_refused_by_name_and_with_what_to_do():
    with pytest.raises(setup.SetupError) as refused:
        setup.refuse_cuda(setup.packages_in_report(CUDA_REPORT))
    sentence = str(refused.value)
    for word in ("cuda-bindings", "nvidia-cublas", "triton", "TORCH_INDEX_URL", "TORCH=cuda"):
        assert word in sentence
    assert "numpy" not in sentence


def test_a_cpu_report_passes():
    setup.refuse_cuda(setup.packages_in_report(CPU_REPORT))


def test_the_driver_s_counters_are_no_cuda_build():
    assert setup.cuda_packages(["nvidia-ml-py", "nvidia_ml_py"]) == []


@pytest.mark.parametrize(
    ("choice", "gpu", "build"),
    [("", False, "cpu"), ("", True, "cuda"), ("cpu", True, "cpu"), ("cuda", False, "cuda")],
)
def test_the_machine_decides_unless_the_user_does(choice, gpu, build):
    assert setup.wanted_build(choice, gpu_found=gpu) == build


def test_an_unknown_build_is_refused_with_the_known_ones():
    with pytest.raises(setup.SetupError, match="'rocm'; use cpu or cuda"):
        setup.wanted_build("rocm", gpu_found=False)


def test_a_cpu_set_up_that_ends_with_a_cuda_torch_fails():
    with pytest.raises(setup.SetupError, match=r"CUDA 13\.0.*make clean-venv"):
        setup.check_installed("cpu", chosen=False, cuda_version="13.0", distributions=["torch"])


def test_a_cpu_set_up_that_ends_with_cuda_packages_fails():
    with pytest.raises(setup.SetupError, match="nvidia-nccl-cu13"):
        setup.check_installed("cpu", chosen=False, cuda_version=None, distributions=["nvidia-nccl-cu13"])


def test_a_cpu_set_up_with_the_driver_s_counters_is_fine():
    assert not setup.check_installed("cpu", chosen=True, cuda_version=None, distributions=["nvidia-ml-py"])


def test_a_chosen_cuda_build_that_did_not_come_is_an_error():
    with pytest.raises(setup.SetupError, match="CPU build"):
        setup.check_installed("cuda", chosen=True, cuda_version=None, distributions=[])


def test_a_gpu_without_a_cuda_build_is_a_warning_only():
    warning = setup.check_installed("cuda", chosen=False, cuda_version=None, distributions=[])
    assert "TORCH=cuda" in warning


def test_the_torch_requirement_is_the_one_of_pyproject():
    pyproject = (setup.ROOT / "pyproject.toml").read_text()
    assert setup.torch_requirement(pyproject) == "torch==2.13.0"


def test_constraints_pin_everything_but_torch_and_name_no_place():
    lines = [
        line
        for line in (setup.ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(line.count("==") == 1 for line in lines)
    assert not [line for line in lines if "://" in line or line.startswith(("torch==", "acc=="))]
    assert setup.cuda_packages(line.split("==")[0] for line in lines) == []


def fake_checkout(folder: Path, *, report: dict[str, Any], torch_cuda: str | None) -> Path:
    """Return a checkout whose .venv answers as pip would: with ``report``, and a torch of ``torch_cuda``."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "setup.py").write_text(Path(setup.__file__).read_text())
    (folder / "pyproject.toml").write_text('dependencies = [\n    "torch==2.13.0",\n]\n')
    (folder / "constraints.txt").write_text("numpy==2.4.6\n")
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    held = {"torch": "2.13.0", "cuda": torch_cuda, "distributions": ["torch"]}
    bare: dict[str, Any] = {"torch": None, "cuda": None, "distributions": []}
    python = binaries / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "log = here / 'calls'\n"
        "words = ' '.join(sys.argv[1:])\n"
        "if '-c' == sys.argv[1]:\n"
        f"    print({json.dumps(json.dumps(held))} if (here / 'got').exists() "
        f"else {json.dumps(json.dumps(bare))})\n"
        "elif '--report' in words:\n"
        f"    print({json.dumps(json.dumps(report))})\n"
        "else:\n"
        "    print('Collecting numpy')\n"
        "    print('WARNING: of no matter', file=sys.stderr)\n"
        "    if (here / 'broken').exists():\n"
        "        sys.exit('ERROR: no space left')\n"
        "    (here / 'got').touch()\n"
        "with log.open('a') as out:\n    out.write(words + chr(10))\n"
    )
    (binaries / "pip").touch()
    python.chmod(0o755)
    return folder


def run_setup(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    # An own PATH without nvidia-smi, so that the outcome does not depend on this machine.
    env = {"PATH": "/nowhere", "HOME": os.environ.get("HOME", "/"), **environ}
    command = [sys.executable, str(folder / "scripts" / "setup.py")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def calls(folder: Path) -> list[str]:
    return [line for line in (folder / ".venv/bin/calls").read_text().splitlines() if "install" in line]


def test_nothing_is_downloaded_when_the_resolution_holds_cuda_packages(tmp_path):
    folder = fake_checkout(tmp_path / "acc", report=CUDA_REPORT, torch_cuda="13.0")
    done = run_setup(folder)
    assert done.returncode == 1
    assert "setup failed" in done.stderr
    assert "triton" in done.stderr
    assert len(calls(folder)) == 1
    assert "--dry-run" in calls(folder)[0]
    assert not (folder / ".venv/.acc-setup").exists()


def test_torch_is_installed_alone_and_first_and_a_second_run_does_nothing(tmp_path):
    folder = fake_checkout(tmp_path / "acc", report=CPU_REPORT, torch_cuda=None)
    done = run_setup(folder, TORCH_INDEX_URL="file:///somewhere")
    assert done.returncode == 0, done.stderr
    _dry, torch, rest = calls(folder)
    assert torch.endswith("install --quiet --index-url file:///somewhere torch==2.13.0")
    assert "--constraint" in rest
    assert "--index-url" not in rest
    assert run_setup(folder).returncode == 0
    assert len(calls(folder)) == 3


def test_what_pip_says_is_shown_if_it_fails_or_v_1_asks_for_it(tmp_path):
    quiet = run_setup(fake_checkout(tmp_path / "a", report=CPU_REPORT, torch_cuda=None))
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "Collecting" not in quiet.stdout
    assert len(quiet.stdout.splitlines()) == 3
    told = run_setup(fake_checkout(tmp_path / "b", report=CPU_REPORT, torch_cuda=None), V="1")
    assert "Collecting numpy" in told.stdout
    assert "WARNING: of no matter" in told.stderr
    folder = fake_checkout(tmp_path / "c", report=CPU_REPORT, torch_cuda=None)
    (folder / ".venv/bin/broken").touch()
    failed = run_setup(folder)
    assert failed.returncode == 1
    for said in ("Collecting numpy", "WARNING: of no matter", "ERROR: no space left"):
        assert said in failed.stderr


def test_a_changed_pyproject_sets_up_again(tmp_path):
    folder = fake_checkout(tmp_path / "acc", report=CPU_REPORT, torch_cuda=None)
    run_setup(folder)
    with (folder / "pyproject.toml").open("a") as out:
        out.write("# more\n")
    run_setup(folder)
    assert len(calls(folder)) == 4

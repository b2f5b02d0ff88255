"""A script of the engine that torchrun starts: what the ranks learn, and what is wrong with an environment."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.tests import helpers
from acc.training.checkpoints.files import Checkpoint, load
from acc.training.ranks.join import SAYS_WHERE, SAYS_WHICH, under_torchrun
from acc.training.run import train

WHOLE = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


NONE_LEFT = """
from pathlib import Path
left = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]
assert not [name for name in left if "gloo" in name], left  # one may abort the interpreter's end
"""


def script() -> str:
    """Return the page's script, of fewer steps, with the optimizer that makes the least of how sums are rounded."""
    (found,) = [block for block in helpers.blocks(helpers.NOTEBOOK_PAGE) if "with under_torchrun" in block]
    assert "steps=60" in found
    return found.replace("steps=60", "steps=6, optimizer='sgd', lr=0.01")


def by_torchrun(folder: Path, *agents: list[str]) -> Checkpoint:
    """Have torchrun run the script, by one process of its own for each machine; return the checkpoint it saves."""
    (folder / "digits.py").write_text(script() + NONE_LEFT)
    kept = {name: value for name, value in os.environ.items() if name not in WHOLE}
    environment = {
        **kept,
        "PYTHONPATH": str(helpers.PLUGINS_DIR.parent),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *words, "digits.py"],
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in agents
    ]
    try:
        said = [process.communicate(timeout=100)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(agents), "\n".join(said)
    return load(folder / "digits.safetensors")


def by_one_process(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Checkpoint:
    """Run the script here."""
    set_environment(monkeypatch, {})
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(script(), "digits.py", "exec"), names)
    found: Checkpoint = names["run"].checkpoint
    return found


def assert_same(one: Checkpoint, two: Checkpoint) -> None:
    """Fail unless two ranks learnt what one process learnt."""
    assert (one.header.spec.train.ranks, two.header.spec.train.ranks) == (1, 2)
    assert one.tensors.keys() == two.tensors.keys()
    trained = [name for name in one.tensors if name.startswith(("model.", "head.", "optim."))]
    assert max(float((one.tensors[name] - two.tensors[name]).abs().max()) for name in trained) < 1e-5
    assert torch.equal(one.tensors["rng.torch"], two.tensors["rng.torch"])


@pytest.mark.long(12)
def test_torchrun_learns_what_one_process_learns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = by_one_process(monkeypatch, tmp_path)
    assert_same(one, by_torchrun(tmp_path, ["--standalone", "--nproc-per-node", "2"]))


@pytest.mark.slow
def test_so_it_does_by_an_agent_on_each_of_two_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
    agent += ["--rdzv-endpoint", f"127.0.0.1:{port}"]
    assert_same(by_one_process(monkeypatch, tmp_path), by_torchrun(tmp_path, agent, agent))


def set_environment(monkeypatch: pytest.MonkeyPatch, said: Mapping[str, str]) -> None:
    for name in (*SAYS_WHICH, *SAYS_WHERE, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("said", [{}, {"MASTER_ADDR": "ada"}, {**WHOLE, "WORLD_SIZE": "1"}])
def test_a_process_without_others_has_no_ranks(
    monkeypatch: pytest.MonkeyPatch, dataset: AccDataset, said: dict[str, str]
) -> None:
    set_environment(monkeypatch, said)
    with under_torchrun() as ranks:
        assert ranks is None
        run = train(dataset, tasks=["ReconstructionTask"], steps=1, device="cpu", ranks=ranks)
    assert run.leads


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK", "not set, although the environment has RANK=0"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_PORT", "torchrun sets all of"),
        ({**WHOLE, "WORLD_SIZE": "two"}, "WORLD_SIZE", "'two' is no number"),
        ({**WHOLE, "RANK": "2"}, "RANK", "2 is none of 2 ranks"),
    ],
)
def test_half_an_environment_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], field: str, words: str
) -> None:
    set_environment(monkeypatch, said)
    with pytest.raises(InvalidInput) as caught, under_torchrun():
        pass
    assert words in caught.value.fields[field][0]


@pytest.mark.parametrize(
    ("device", "field", "words"),
    [
        ("cuda", "LOCAL_RANK", "2 is beyond the GPUs of this machine, which has 2"),
        ("auto", "LOCAL_RANK", "or use under_torchrun(device='cpu')"),
        ("cuda:0", "device", "each rank needs one of its own"),
    ],
)
def test_more_ranks_than_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, field: str, words: str
) -> None:
    set_environment(monkeypatch, {**WHOLE, "WORLD_SIZE": "4", "LOCAL_RANK": "2"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InvalidInput) as caught, under_torchrun(device):
        pass
    assert words in caught.value.fields[field][0]


def test_a_number_of_ranks_says_how_processes_are_started(dataset: AccDataset) -> None:
    with pytest.raises(InvalidInput) as caught:
        train(dataset, tasks=["ReconstructionTask"], steps=1, ranks=2)  # type: ignore[arg-type]
    assert "torchrun --nproc-per-node 2" in caught.value.fields["ranks"][0]

"""Makes `.venv` from a bare Python 3.11: torch first and alone, then the rest, pinned by constraints.txt.

Standard library only, since it runs before anything is installed. A machine without an NVIDIA GPU must never
be given gigabytes of CUDA packages, so pip's resolution is read before the download and the result after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".acc-setup"
INPUTS = (ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__))

# nvidia-ml-py only reads the driver's counters: no CUDA in it, and it is a dependency on every machine.
HARMLESS = {"nvidia-ml-py"}
CUDA_PACKAGE = re.compile(r"^(nvidia-.+|cuda-.+|(pytorch-)?triton)$")


class SetupError(Exception):
    """A set-up that cannot go on; the sentence says what to do."""


def normal(name: str) -> str:
    """Return a distribution's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cuda_packages(names: Iterable[str]) -> list[str]:
    """Return which of the distributions ``names`` belong to a CUDA build, sorted."""
    found = {normal(name) for name in names}
    return sorted(name for name in found - HARMLESS if CUDA_PACKAGE.match(name))


def packages_in_report(report: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> version of all that pip's ``--report`` would install."""
    return {
        normal(item["metadata"]["name"]): str(item["metadata"]["version"])
        for item in report.get("install", [])
    }


def wanted_build(choice: str, *, gpu_found: bool) -> str:
    """Return "cpu" or "cuda": ``choice`` (the variable TORCH) if given, else by whether there is a GPU."""
    if choice not in {"", "cpu", "cuda"}:
        raise SetupError(f"TORCH is {choice!r}; use cpu or cuda, or leave it out to let the machine decide")
    return choice or ("cuda" if gpu_found else "cpu")


def refuse_cuda(packages: Iterable[str]) -> None:
    """Raise SetupError when a CPU set-up would install CUDA packages."""
    found = cuda_packages(packages)
    if found:
        raise SetupError(
            f"this is a CPU set-up, but pip would install CUDA packages with torch: {', '.join(found)}.\n"
            "Nothing was downloaded. Do one of these:\n"
            "  make setup TORCH_INDEX_URL=<address of an index that serves CPU builds of torch>\n"
            "  make setup TORCH=cuda      (if you do want the CUDA build)\n"
            "docs/gpu.md says more."
        )


def check_installed(
    want: str, *, chosen: bool, cuda_version: str | None, distributions: Iterable[str]
) -> str:
    """Return a warning ("" if all is well); raises SetupError if what is installed is not what was asked for.

    ``cuda_version`` is torch.version.cuda; ``chosen`` is whether the user named the build.
    """
    if want == "cpu":
        found = cuda_packages(distributions)
        if cuda_version is not None or found:
            what = f"torch for CUDA {cuda_version}" if cuda_version else f"CUDA packages ({', '.join(found)})"
            raise SetupError(
                f"this is a CPU set-up, but .venv holds {what}. Remove it with `make clean-venv` and run "
                "`make setup` again, with TORCH=cuda if you do want the CUDA build."
            )
    elif cuda_version is None:
        sentence = (
            "torch in .venv is a CPU build, so jobs cannot use the GPU. Run `make clean-venv` and then "
            "`make setup TORCH=cuda TORCH_INDEX_URL=<address of an index that serves CUDA builds>`."
        )
        if chosen:
            raise SetupError(sentence)
        return f"an NVIDIA GPU was found, but {sentence}"
    return ""


def fingerprint(build: str) -> str:
    """Return the hash of all that decides what is installed."""
    digest = hashlib.sha256(f"{build} {sys.version}".encode())
    for path in INPUTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def torch_requirement(pyproject: str) -> str:
    """Return the torch requirement named in pyproject.toml, such as torch==2.13.0."""
    found = re.search(r'^\s*"(torch==[^"]+)"', pyproject, re.MULTILINE)
    if not found:
        raise SetupError('pyproject.toml names no "torch==..." among its dependencies')
    return found.group(1)


def gpu_found() -> bool:
    """Return whether nvidia-smi answers and lists a GPU."""
    smi = shutil.which("nvidia-smi")
    if not smi:
        return False
    try:
        listed = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def pip(*arguments: str) -> str:
    """Run pip inside .venv and return its output; raises SetupError with all that it said if it fails.

    It says nothing itself but with V=1, which shows its warnings and its progress as they come.
    """
    verb, *rest = arguments
    shown, read = talkative(), "--report" in arguments
    quietly = [] if shown and not read else ["--quiet"]
    done = subprocess.run(
        [str(PYTHON), "-m", "pip", "--disable-pip-version-check", verb, *quietly, *rest],
        stdout=subprocess.PIPE if quietly else None,
        stderr=None if shown else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join(text.strip() for text in (done.stdout, done.stderr) if text and text.strip())
        raise SetupError(f"pip {verb} failed; what it said:\n{said}" if said else "pip failed; see above")
    return done.stdout or ""


def talkative() -> bool:
    """Return whether V=1 asks to be told all."""
    return os.environ.get("V", "") not in {"", "0"}


def probe() -> dict[str, Any]:
    """Return what .venv holds: "torch" and "cuda" (versions or None) and "distributions" (names)."""
    code = (
        "import json, importlib.metadata as m\n"
        "names = [d.metadata['Name'] for d in m.distributions()]\n"
        "try:\n    import torch; t, c = torch.__version__, torch.version.cuda\n"
        "except ImportError:\n    t = c = None\n"
        "print(json.dumps({'torch': t, 'cuda': c, 'distributions': names}))"
    )
    done = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"torch in .venv cannot be imported:\n{done.stderr}")
    held: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return held


def make_venv() -> None:
    """Make .venv, or raise SetupError with what is missing."""
    if sys.version_info[:2] != (3, 11):
        raise SetupError(
            f"ACC needs Python 3.11, and this is {sys.version.split()[0]} ({sys.executable}). "
            "Install python3.11 or name one: make setup PYTHON=/path/to/python3.11"
        )
    if PYTHON.exists() and (VENV / "bin" / "pip").exists():
        return
    say(f"making {VENV.name} with {sys.executable}")
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode:
        raise SetupError(
            "python -m venv failed; on Debian and Ubuntu its parts are in the package python3.11-venv"
        )


def install(want: str, *, chosen: bool, index_url: str, extras: str) -> None:
    """Install torch alone, then the rest with ``extras`` of pyproject.toml, and check the outcome."""
    held = probe()
    requirement = torch_requirement((ROOT / "pyproject.toml").read_text())
    if held["torch"] is None:
        index = ["--index-url", index_url] if index_url else []
        if want == "cpu":
            if talkative():
                say(f"looking at what {requirement} would bring (CPU build)")
            report = pip("install", "--dry-run", "--report", "-", *index, requirement)
            refuse_cuda(packages_in_report(json.loads(report)))
        say(f"installing {requirement} ({want} build), which takes a minute or two; V=1 shows what pip does")
        pip("install", *index, requirement)
        held = probe()
    check_installed(want, chosen=chosen, cuda_version=held["cuda"], distributions=held["distributions"])

    say("installing ACC and what it needs, as constraints.txt pins it; V=1 shows what pip does")
    project = f"{ROOT}[{extras}]" if extras else str(ROOT)
    pip("install", "--constraint", str(ROOT / "constraints.txt"), "--editable", project)
    held = probe()
    warning = check_installed(
        want, chosen=chosen, cuda_version=held["cuda"], distributions=held["distributions"]
    )
    if warning:
        say(f"WARNING: {warning}")
    say(f"ready: torch {held['torch']}, {len(held['distributions'])} packages in {VENV.name}")


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def fail(error: SetupError) -> NoReturn:
    """End with the sentence of ``error``."""
    print(f"\nsetup failed: {error}\n", file=sys.stderr, flush=True)
    raise SystemExit(1)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Set up if anything that decides the outcome has changed since the last time."""
    choice = environ.get("TORCH", "")
    try:
        want = wanted_build(choice, gpu_found=not choice and gpu_found())
        stamp = fingerprint(want)
        if STAMP.exists() and STAMP.read_text() == stamp and PYTHON.exists():
            return
        make_venv()
        install(
            want,
            chosen=bool(choice),
            index_url=environ.get("TORCH_INDEX_URL", ""),
            extras=environ.get("ACC_EXTRAS", "dev"),
        )
        STAMP.write_text(stamp)
    except SetupError as error:
        fail(error)


if __name__ == "__main__":
    main()

"""Runs the site's JavaScript modules in a test without a browser, by the Node that comes with Playwright."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

MODULES = Path(__file__).parents[1] / "static" / "js"


def evaluate(body: str, *arguments: Any) -> Any:
    """Return what ``body``, of an async function of ``load`` and ``arguments``, returns, by way of JSON.

    ``load(name)`` imports a module of ``static/js`` that touches no document when it is loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(MODULES, folder, dirs_exist_ok=True)
        Path(folder, "package.json").write_text('{"type": "module"}')
        script = Path(folder, "_test.js")
        script.write_text(
            "const load = (name) => import(`./${name}.js`);\n"
            f"const body = async (load, args) => {{ {body} }};\n"
            f"console.log(JSON.stringify(await body(load, {json.dumps(arguments)})));\n"
        )
        node = str(compute_driver_executable()[0])
        done = subprocess.run([node, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

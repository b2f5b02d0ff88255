"""In production every file has its hash in its name, and modules import each other by those very names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management import call_command

IMPORT = re.compile(r"""(?:from|import\()\s*["']\./([^"']+)["']""")
HASHED = re.compile(r"\.[0-9a-f]{12}\.js$")


def test_modules_import_the_hashed_files_that_pages_name(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    hashed = {"BACKEND": "accsite.staticstorage.HashedStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": hashed}
    settings.INSTALLED_APPS = ["django.contrib.staticfiles"]
    call_command("collectstatic", interactive=False, verbosity=0)
    modules = [path for path in (tmp_path / "js").glob("*.js") if HASHED.search(path.name)]
    imported = {name for module in modules for name in IMPORT.findall(module.read_text())}
    assert {name.partition(".")[0] for name in imported} == {
        "app",
        "beside",
        "branch",
        "chart",
        "clock",
        "controls",
        "copy",
        "curves",
        "envelope",
        "figure",
        "hand",
        "health",
        "keys",
        "latent_file",
        "latent_here",
        "latent_socket",
        "live",
        "marks",
        "means",
        "numbers",
        "onnx",
        "onnx_ops",
        "overlay",
        "pace",
        "palette",
        "palette_match",
        "picture",
        "points",
        "recent",
        "styles",
        "table",
        "tiles",
        "tree_colours",
        "tree_plan",
        "words",
    }
    assert imported <= {module.name for module in modules}

"""A checkpoint as one portable file: a zip of weights, specification, plugin sources, licence and provenance.

``manifest.json`` names every member with its sha256 and size. Reading believes nothing: names, sizes and hashes
are checked while members are copied out, and no source is run. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acc.errors import CheckpointError
from acc.hashes import text_sha256
from acc.training.checkpoints.header import Header, read_header

FORMAT = 1
SUFFIX = ".acc.zip"
MANIFEST, WEIGHTS, SPEC = "manifest.json", "weights.safetensors", "spec.json"
PROVENANCE, LICENCE = "provenance.json", "LICENCE.txt"
MAX_BYTES = 8 * 2**30
MAX_TEXT_BYTES = 16 * 2**20
MAX_MEMBERS = 1000
CHUNK = 2**20
NOT_STATED = "No licence was stated when this checkpoint was exported; ask who exported it.\n"
_PLUGIN = re.compile(r"^plugins/([0-9a-f]{64})\.py$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal checkpoints give equal files


class BundleError(CheckpointError):
    """A bundle that was refused; the sentence names the file, the member, and what is wrong with it."""


@dataclass(frozen=True)
class Bundle:
    """What was read from a bundle. weights: a safetensors file that was verified; sources: sha256 -> text."""

    weights: Path
    header: Header
    sha256: str
    provenance: dict[str, Any]
    licence: str
    sources: dict[str, str]


def write_bundle(
    path: Path, checkpoint: Path, *, provenance: Mapping[str, Any] | None = None, licence: str = ""
) -> None:
    """Write the bundle of a checkpoint's file; raises CheckpointError for a file that is none."""
    header = read_header(checkpoint)
    texts = {
        SPEC: _json(header.spec.model_dump(mode="json")),
        PROVENANCE: _json({**(provenance or {}), "versions": header.versions, "device": header.device}),
        LICENCE: licence.strip() + "\n" if licence.strip() else NOT_STATED,
        **{f"plugins/{each['sha256']}.py": each["source"] for each in header.plugins.values()},
    }
    members: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(path, "w") as archive:
        digest, size = hashlib.sha256(), 0
        with checkpoint.open("rb") as source, archive.open(_info(WEIGHTS), "w", force_zip64=True) as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        members[WEIGHTS] = {"sha256": digest.hexdigest(), "size": size}
        for name, text in sorted(texts.items()):
            data = text.encode()
            members[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            archive.writestr(_info(name, zipfile.ZIP_DEFLATED), data)
        archive.writestr(_info(MANIFEST), _json({"acc_bundle": FORMAT, "members": members}))


def is_bundle(path: Path) -> bool:
    """Return whether a file looks like a bundle, and not like a plain checkpoint."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read_bundle(path: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> Bundle:
    """Return a bundle, its weights copied to a file in ``folder``; every hash was checked.

    Raises BundleError with a sentence; then nothing is left in ``folder``.
    """
    weights = folder / WEIGHTS
    try:
        with zipfile.ZipFile(path) as archive:
            bundle = _read(path.name, archive, weights, max_bytes)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.LargeZipFile) as error:
        weights.unlink(missing_ok=True)
        raise BundleError(f"'{path.name}' is no intact zip file: {error}") from error
    except OSError as error:
        weights.unlink(missing_ok=True)
        raise BundleError(f"'{path.name}' cannot be read: {error.strerror or error}") from error
    except BaseException:
        weights.unlink(missing_ok=True)
        raise
    return bundle


def _read(file: str, archive: zipfile.ZipFile, weights: Path, max_bytes: int) -> Bundle:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BundleError(f"'{file}' has {len(infos)} members; at most {MAX_MEMBERS} are read")
    names = [info.filename for info in infos]
    for name in names:
        if name not in (MANIFEST, WEIGHTS, SPEC, PROVENANCE, LICENCE) and not _PLUGIN.fullmatch(name):
            raise BundleError(
                f"'{file}' has a member {name!r}, which does not belong in a checkpoint's bundle"
            )
        if names.count(name) > 1:
            raise BundleError(f"'{file}' has two members {name!r}")
    if MANIFEST not in names:
        raise BundleError(
            f"'{file}' has no {MANIFEST}; it is a zip file, but no checkpoint that ACC exported"
        )
    if (total := sum(info.file_size for info in infos)) > max_bytes:
        raise BundleError(f"'{file}' unpacks to {total} bytes; at most {max_bytes} are taken")
    members = _manifest(file, _text(file, archive, MANIFEST, None))
    if wrong := sorted(members.keys() ^ (set(names) - {MANIFEST})):
        raise BundleError(f"'{file}' and its manifest disagree about {wrong[0]!r}")
    missing = [name for name in (WEIGHTS, SPEC, PROVENANCE, LICENCE) if name not in members]
    if missing:
        raise BundleError(f"'{file}' has no {missing[0]}")
    texts = {name: _text(file, archive, name, members[name]) for name in members if name != WEIGHTS}
    _copy(file, archive, weights, members[WEIGHTS])
    header = read_header(weights)
    if _parse(file, SPEC, texts[SPEC]) != header.spec.model_dump(mode="json"):
        raise BundleError(f"'{file}': {SPEC} is not the specification that the weights name")
    sources = {match[1]: texts[name] for name in texts if (match := _PLUGIN.fullmatch(name))}
    carried = [(each["sha256"], each["source"]) for each in header.plugins.values()]
    for sha256, text in [*sources.items(), *carried]:
        if text_sha256(text) != sha256 or sources.get(sha256) != text or (sha256, text) not in carried:
            raise BundleError(
                f"'{file}': the plugin source {sha256[:12]} is not what its name and the weights say"
            )
    provenance = _parse(file, PROVENANCE, texts[PROVENANCE])
    if not isinstance(provenance, dict):
        raise BundleError(f"'{file}': {PROVENANCE} is no JSON object")
    return Bundle(weights, header, members[WEIGHTS]["sha256"], provenance, texts[LICENCE], sources)


def _manifest(file: str, text: str) -> dict[str, dict[str, Any]]:
    data = _parse(file, MANIFEST, text)
    version = data.get("acc_bundle") if isinstance(data, dict) else None
    if version != FORMAT:
        raise BundleError(f"'{file}' has format {version!r}; this ACC reads format {FORMAT}")
    members = data.get("members")
    sound = isinstance(members, dict) and all(
        isinstance(each, dict) and isinstance(each.get("sha256"), str) and isinstance(each.get("size"), int)
        for each in members.values()
    )
    if not sound:
        raise BundleError(f"'{file}': its manifest does not give sha256 and size of every member")
    return dict(members)


def _text(file: str, archive: zipfile.ZipFile, name: str, expected: Mapping[str, Any] | None) -> str:
    with archive.open(name) as source:
        data = source.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise BundleError(f"'{file}': {name} is larger than {MAX_TEXT_BYTES} bytes")
    if expected is not None:
        _compare(file, name, hashlib.sha256(data).hexdigest(), len(data), expected)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BundleError(f"'{file}': {name} is not UTF-8 text") from None


def _copy(file: str, archive: zipfile.ZipFile, to: Path, expected: Mapping[str, Any]) -> None:
    digest, size = hashlib.sha256(), 0
    with archive.open(WEIGHTS) as source, to.open("wb") as target:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > expected["size"]:
                break
            digest.update(chunk)
            target.write(chunk)
    _compare(file, WEIGHTS, digest.hexdigest(), size, expected)


def _compare(file: str, name: str, sha256: str, size: int, expected: Mapping[str, Any]) -> None:
    if (sha256, size) != (expected["sha256"], expected["size"]):
        raise BundleError(
            f"'{file}': {name} was changed: its sha256 is {sha256}, its manifest says {expected['sha256']}"
        )


def _parse(file: str, name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BundleError(f"'{file}': {name} is no JSON") from None


def _json(data: Any) -> str:
    return json.dumps(data, sort_keys=True, indent=1, default=str) + "\n"


def _info(name: str, how: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = how
    info.external_attr = 0o644 << 16
    return info

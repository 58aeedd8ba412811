"""The snapshot file: one zip of JSON members plus columnar record files, the same bytes for the same facts.

Facts arrive redacted (collectors do that); this module only stores, reads back and digests.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from inferaudit.errors import SnapshotError
from inferaudit.facts import FactSpec, fact_specs
from inferaudit.model import Fact, FactError, FactErrorKind, Snapshot, Target
from inferaudit.whole_file import write_whole

SCHEMA_VERSION = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: no clock in the bytes
_MAX_MEMBER_BYTES = 2 << 30

_encode = msgspec.json.Encoder(order="deterministic").encode


def dump(snapshot: Snapshot, path: Path) -> None:
    """Write the snapshot to `path`, readable by its owner alone (0600), replacing it whole or not at all."""
    try:
        write_whole(path, to_bytes(snapshot), private=True)
    except OSError as error:
        raise SnapshotError(f"cannot write the snapshot {path}: {error.strerror}") from error


def to_bytes(snapshot: Snapshot) -> bytes:
    """The file's bytes: a pure function of the snapshot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in _members(snapshot).items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def digest(snapshot: Snapshot) -> str:
    """``sha256:…`` over the members' names and contents, whatever the compression."""
    total = hashlib.sha256()
    for name, content in _members(snapshot).items():
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return f"sha256:{total.hexdigest()}"


def load(path: Path) -> Snapshot:
    """Read a snapshot file; :class:`SnapshotError` names the member that cannot be read."""
    try:
        return from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise SnapshotError(f"cannot read the snapshot {path}: {error.strerror}") from error


def from_bytes(content: bytes, name: str = "snapshot") -> Snapshot:
    """The snapshot in `content`; `name` is what errors call it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        head = msgspec.json.decode(_read(archive, "snapshot.json", name))
        if head["schema_version"] != SCHEMA_VERSION:
            raise SnapshotError(
                f"{name} has snapshot version {head['schema_version']}; this inferaudit reads version {SCHEMA_VERSION}"
            )
        facts = {fact: _load_fact(archive, fact, entry, name) for fact, entry in sorted(head.pop("facts").items())}
        return Snapshot(**{**head, "target": Target(**head["target"]), "facts": facts})
    except (zipfile.BadZipFile, msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        hint = "; a report is read by `inferaudit render`" if content.lstrip()[:1] == b"{" else ""
        raise SnapshotError(f"{name} is not an inferaudit snapshot, or it is damaged: {error}{hint}") from error


def decode_fact(name: str, value: Any) -> Any:
    """A fact's value from plain JSON data, through the decoder that reads snapshots; test cases use it too."""
    spec = fact_specs().get(name)
    return value if spec is None else msgspec.convert(value, spec.type)


def merge(base: Mapping[str, Fact], extra: Mapping[str, Fact]) -> dict[str, Fact]:
    """Facts of two collectors; a value wins over an error, and `extra` over `base`."""
    merged = dict(base)
    for name, fact in extra.items():
        if name not in merged or merged[name].error is not None or fact.error is None:
            merged[name] = fact
    return merged


def _members(snapshot: Snapshot) -> dict[str, bytes]:
    specs = fact_specs()
    members: dict[str, bytes] = {}
    index: dict[str, Any] = {}
    for name, fact in sorted(snapshot.facts.items()):
        if fact.error is not None:
            index[name] = {"error": asdict(fact.error)}
            continue
        spec = specs.get(name)
        codec = spec.codec if spec else None
        member = f"facts/{name}{codec.suffix if codec else '.json'}"
        members[member] = codec.encode(fact.value) if codec else _encode(fact.value)
        index[name] = {"member": member}
    head = {
        "schema_version": snapshot.schema_version,
        "tool_version": snapshot.tool_version,
        "collected_at": snapshot.collected_at,
        "duration_s": snapshot.duration_s,
        "interrupted": snapshot.interrupted,
        "target": asdict(snapshot.target),
        # In the policy's own order, unlike the rest: objectives and waivers are shown as their owner wrote them.
        "policy": msgspec.Raw(msgspec.json.encode(snapshot.policy)),
        "facts": index,
    }
    return {"snapshot.json": _encode(head), **members}


def _load_fact(archive: zipfile.ZipFile, fact: str, entry: dict[str, Any], name: str) -> Fact:
    if "error" in entry:
        error = entry["error"]
        return Fact(error=FactError(**{**error, "kind": FactErrorKind(error["kind"])}))
    content = _read(archive, entry["member"], name)
    spec: FactSpec | None = fact_specs().get(fact)
    try:
        if spec is None:
            return Fact(msgspec.json.decode(content))
        return Fact(spec.codec.decode(content) if spec.codec else msgspec.json.decode(content, type=spec.type))
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise SnapshotError(f"{name}: {entry['member']} is not what this version reads: {error}") from error


def _read(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    info = archive.getinfo(member)
    if info.file_size > _MAX_MEMBER_BYTES:
        raise SnapshotError(f"{name}: {member} is larger than {_MAX_MEMBER_BYTES >> 30} GiB")
    return archive.read(info)

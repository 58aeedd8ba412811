"""The catalogue: built-in checks, those of plug-ins (entry points) and of ``--checks DIR``, through one loader.

``DIR/<group>/<name>.py|.yaml`` is the check ``<group>-<name>``; ``DIR/checklists/*.yaml`` are checklists. A file that
does not load, or an id that exists twice, stops the run: never fewer checks than asked.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from inferaudit.checklists import Checklist, all_items, load_checklist
from inferaudit.errors import CatalogError, UsageError
from inferaudit.facts import fact_specs
from inferaudit.model import Check
from inferaudit.near_words import suggest
from inferaudit.resources import resource_folder
from inferaudit.yaml_text import file_text, place

ENTRY_POINT_GROUP = "inferaudit.checks"


@dataclass(frozen=True, slots=True)
class Catalog:
    """Checks and checklists by id, in order of id, and the digest of their sources."""

    checks: Mapping[str, Check]
    checklists: Mapping[str, Checklist]
    digest: str

    def check(self, check_id: str) -> Check:
        """The check `check_id`; :class:`UsageError` with the nearest ids when there is none."""
        try:
            return self.checks[check_id]
        except KeyError:
            raise UsageError(f"no check is called {check_id!r}{suggest(check_id, self.checks)}") from None

    def select(self, select: Iterable[str] = (), skip: Iterable[str] = ()) -> tuple[Check, ...]:
        """The checks that ids, groups and tags choose; without `select` all that are on by default."""
        select, skip = tuple(select), tuple(skip)
        for word in (*select, *skip):
            if not any(_named(check, word) for check in self.checks.values()):
                words = {w for c in self.checks.values() for w in (c.id, c.group, *c.tags)}
                raise UsageError(f"no check, group or tag is called {word!r}{suggest(word, words)}")
        chosen = [
            check
            for check in self.checks.values()
            if (any(_named(check, w) for w in select) if select else check.enabled)
        ]
        return tuple(check for check in chosen if not any(_named(check, w) for w in skip))


def load_catalog(folders: Iterable[Path] = ()) -> Catalog:
    """Built-ins, plug-ins and `folders`, all through the same loader."""
    roots = [resource_folder("checks"), *_plugin_folders()]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--checks {folder}: no such folder")
        roots.append(folder)
    checks: dict[str, Check] = {}
    checklists: dict[str, Checklist] = {}
    origins: dict[str, Path] = {}
    total = hashlib.sha256()
    for root in roots:
        for path in _check_files(root):
            check = _load_check(root, path)
            if check.id in checks:
                raise CatalogError(f"{path}: the id {check.id} is taken by {checks[check.id].origin}")
            checks[check.id] = check
            total.update(f"{check.id}\0".encode() + path.read_bytes())
        for path in sorted((root / "checklists").glob("*.yaml")):
            checklist = load_checklist(file_text(path), path.stem, str(path))
            if checklist.id in checklists:
                raise CatalogError(f"{path}: a checklist {checklist.id} exists already")
            checklists[checklist.id] = checklist
            origins[checklist.id] = path
            total.update(f"{checklist.id}\0".encode() + path.read_bytes())
    for checklist in checklists.values():
        missing = [(item.id, name) for item in checklist.items for name in item.checks if name not in checks]
        for row, name in missing[:1]:
            hint = suggest(name, checks)
            at = place(str(origins[checklist.id]), file_text(origins[checklist.id]), name)
            raise CatalogError(f"{at}: {row}: no check is called {name!r}{hint}")
        try:
            all_items(checklist, checklists)
        except CatalogError as error:
            raise CatalogError(f"{origins[checklist.id]}: {error}") from None
    return Catalog(dict(sorted(checks.items())), dict(sorted(checklists.items())), f"sha256:{total.hexdigest()}")


def _named(check: Check, word: str) -> bool:
    return word in (check.id, check.group) or word in check.tags


def _plugin_folders() -> list[Path]:
    folders = []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        spec = importlib.util.find_spec(point.value)
        locations = list(spec.submodule_search_locations or ()) if spec else []
        if not locations:
            raise CatalogError(f"plug-in {point.name}: {point.value} is not a package")
        folders.append(Path(locations[0]))
    return folders


def _check_files(root: Path) -> list[Path]:
    return sorted(
        path
        for folder in root.iterdir()
        if folder.is_dir() and folder.name not in ("checklists", "__pycache__") and not folder.name.startswith(".")
        for path in folder.iterdir()
        if path.suffix in (".py", ".yaml", ".yml") and path.name != "__init__.py"
    )


def _load_check(root: Path, path: Path) -> Check:
    group = path.parent.name.replace("_", "-")
    check_id = f"{group}-{path.stem.replace('_', '-')}"
    check = _python_check(path, check_id) if path.suffix == ".py" else _yaml_check(path)
    unknown = [name for name in (*check.needs, *check.optional) if name not in fact_specs()]
    if unknown:
        at = str(path) if path.suffix == ".py" else place(str(path), file_text(path), unknown[0])
        raise CatalogError(f"{at}: no fact is called {unknown[0]!r}{suggest(unknown[0], fact_specs())}")
    if not check.needs:
        raise CatalogError(f"{path}: a check needs at least one fact")
    return replace(check, id=check_id, group=group, origin=str(path.relative_to(root)))


def _yaml_check(path: Path) -> Check:
    from inferaudit.declarative import load_yaml_check

    return load_yaml_check(file_text(path), str(path))


def _python_check(path: Path, check_id: str) -> Check:
    name = f"inferaudit_checks.{check_id.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CatalogError(f"{path}: cannot be loaded")
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CatalogError(f"{path}: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Check)]
    if len(found) != 1:
        raise CatalogError(f"{path}: a check file defines one check, this one {len(found)}")
    return found[0]

"""Patches of plain objects: merge, strategic merge and JSON patch, as far as faults need them. Pure."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]

# What tells the items of a list apart, as the API's strategic merge has it; the first that all items carry counts.
_KEYS = ("name", "containerPort", "mountPath", "topologyKey", "type", "key", "alert")


def reference(obj: Mapping[str, Any]) -> str:
    """``deployment/llm-prod/chat``, ``node/gpu-a100-0``."""
    meta = obj["metadata"]
    return "/".join(filter(None, (str(obj["kind"]).lower(), meta.get("namespace"), meta["name"])))


def find(objects: Iterable[Object], target: str) -> list[Object]:
    """The objects that a target names; ``*`` matches. LookupError when there is none."""
    found = [obj for obj in objects if fnmatch.fnmatchcase(reference(obj), target)]
    if not found:
        raise LookupError(f"nothing is called {target}")
    return found


def apply(objects: list[Object], patches: Iterable[Mapping[str, Any]]) -> list[Object]:
    """The objects with the patches applied; the given ones are left as they are."""
    result = copy.deepcopy(objects)
    for patch in patches:
        result = _apply(result, copy.deepcopy(dict(patch)))
    return result


def _apply(objects: list[Object], patch: dict[str, Any]) -> list[Object]:
    if "add" in patch:
        return [*objects, patch["add"]]
    if "remove" in patch:
        gone = [id(obj) for obj in find(objects, patch["remove"])]
        return [obj for obj in objects if id(obj) not in gone]
    for obj in find(objects, patch["target"]):
        if "merge" in patch:
            merged = merge(obj, patch["merge"])
            obj.clear()
            obj.update(merged)
        if "strategic" in patch:
            merged = strategic(obj, patch["strategic"])
            obj.clear()
            obj.update(merged)
        if "container" in patch:
            _edit_container(obj, patch["container"])
        for step in patch.get("json", ()):
            _json_step(obj, step)
    return objects


def merge(value: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), item)
    return result


def strategic(value: Any, patch: Any) -> Any:
    """Merge where lists of named things are merged item by item; ``$patch: delete`` takes one out."""
    if isinstance(patch, dict):
        result = dict(value) if isinstance(value, dict) else {}
        for key, item in patch.items():
            if item is None:
                result.pop(key, None)
            else:
                result[key] = strategic(result.get(key), item)
        return result
    if not (isinstance(patch, list) and isinstance(value, list)):
        return patch
    key = next((k for k in _KEYS if patch and all(isinstance(i, dict) and k in i for i in (*value, *patch))), None)
    if key is None:
        return patch
    items = list(value)
    for item in patch:
        at = next((i for i, old in enumerate(items) if old[key] == item[key]), None)
        if item.get("$patch") == "delete":
            items = [old for old in items if old[key] != item[key]]
        elif at is None:
            items.append(item)
        else:
            items[at] = strategic(items[at], item)
    return items


def _edit_container(obj: Object, edit: Mapping[str, Any]) -> None:
    """``args``: a flag's new value, or null to take it out; ``set``: a merge into the container itself."""
    spec = obj["spec"]["template"]["spec"] if "template" in obj["spec"] else obj["spec"]
    container = next(c for c in spec["containers"] if c["name"] == edit.get("name", "server"))
    args: list[str] = container.get("args", [])
    for flag, value in edit.get("args", {}).items():
        kept = [arg for arg in args if arg.partition("=")[0] != flag]
        if value is None and len(kept) == len(args):
            raise LookupError(f"no argument {flag}")
        added = [] if value is None else [flag if value is True else f"{flag}={value}"]
        args = [*kept, *added]
    container["args"] = args
    changed = strategic(container, edit.get("set", {}))
    container.clear()
    container.update(changed)


def _json_step(obj: Object, step: Mapping[str, Any]) -> None:
    """One step of RFC 6902: add, replace or remove."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].lstrip("/").split("/")]
    place: Any = obj
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if isinstance(place, list):
        at = len(place) if last == "-" else int(last)
        if step["op"] == "add":
            place.insert(at, step["value"])
        elif step["op"] == "replace":
            place[at] = step["value"]
        else:
            del place[at]
    elif step["op"] == "remove":
        del place[last]
    else:
        place[last] = step["value"]

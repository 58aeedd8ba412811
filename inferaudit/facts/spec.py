"""What a fact is declared as: name, scope word, value type, and what it takes to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferaudit.model import Scope


@dataclass(frozen=True, slots=True)
class Rbac:
    """One permission behind a fact, as a Role rule needs it. `group` "" is the core API group.

    `namespaced` False puts it in the ClusterRole. `optional` marks what a flag must ask for. `names` are the only
    objects that are read, where they are always called the same.
    """

    verb: str
    resource: str
    group: str = ""
    namespaced: bool = True
    optional: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Codec:
    """How a fact that is not JSON (columnar records) is stored in the snapshot."""

    suffix: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class FactSpec:
    """A fact by name. `type` is what msgspec decodes it into; `live` facts cannot come from manifests.

    `flag` is what a user adds to have it collected, `title` says what it is in words. `opt_in`: gathered only when
    asked for; when it was not, that blocks no launch.
    """

    name: str
    scope: Scope
    type: Any
    title: str
    live: bool = False
    flag: str = ""
    rbac: tuple[Rbac, ...] = ()
    codec: Codec | None = None
    opt_in: bool = False

"""Every fact there is: name, value type, scope word, permissions. Declared once; each module here adds its own.

A collector may provide only declared facts, a check may need only declared facts, and a test holds both.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from inferaudit.facts.spec import Codec, FactSpec, Rbac

__all__ = ["Codec", "FactSpec", "Rbac", "fact_spec", "fact_specs"]


@cache
def fact_specs() -> dict[str, FactSpec]:
    """All declared facts by name, in the order of the modules' names; a name declared twice is a bug."""
    specs: dict[str, FactSpec] = {}
    for module in pkgutil.iter_modules(__path__):
        for spec in getattr(importlib.import_module(f"{__name__}.{module.name}"), "FACTS", ()):
            if spec.name in specs:
                raise AssertionError(f"fact {spec.name} is declared twice")
            specs[spec.name] = spec
    return specs


def fact_spec(name: str) -> FactSpec:
    """The declaration of `name`; KeyError for an unknown fact."""
    return fact_specs()[name]

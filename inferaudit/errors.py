"""The exception tree. Everything we raise on purpose is an :class:`InferauditError`.

Two places catch: a collector turns a failure into the fact's error, the evaluator turns a missing fact into
``unknown``. The command line turns the rest into one line and an exit code.
"""

from __future__ import annotations


class InferauditError(Exception):
    """Base of all errors raised on purpose; its text is fit for a user."""

    exit_code = 70


class UsageError(InferauditError):
    """What was asked for cannot be done as asked: flags, files, policy, ids (exit 2, no audit was performed)."""

    exit_code = 2


class PolicyError(UsageError):
    """A policy file that does not validate; the text names file, line and field."""


class CatalogError(UsageError):
    """A check or checklist that does not load, or two with one id."""


class SnapshotError(UsageError):
    """A snapshot or report file that cannot be read back."""


class CollectError(InferauditError):
    """A read that failed; becomes the error of the facts it was for."""


class MissingFactError(InferauditError):
    """A check asked for a fact that was not collected; the evaluator answers ``unknown`` with its reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class CheckBugError(InferauditError):
    """A check broke its contract; the text names the check, so that its author is told and not the user."""


class ResourceError(InferauditError):
    """The installed package misses files of its own (checks, templates)."""

"""A bug in one collector costs its own facts and no others; signals and usage errors pass."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from inferaudit.audit import Facts, Interrupted, _complete, _take
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts.process import REPORT
from inferaudit.model import Fact, FactErrorKind


def ended(result: Facts | Exception) -> Future[Facts]:
    future: Future[Facts] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


@pytest.mark.parametrize(
    "error", [ValueError("too many digits"), OverflowError(), RecursionError(), CollectError("no")]
)
def test_the_other_collectors_facts_stay(error: Exception) -> None:
    said: list[str] = []
    facts = _take({"endpoint": ended(error), "gpus": ended({"nvml.gpus": Fact([])})}, {}, said.append)
    assert facts["nvml.gpus"].value == []
    lost = facts["endpoint.target"].error
    assert lost is not None
    assert (lost.kind, lost.source) == (FactErrorKind.FAILED, "endpoint")
    if isinstance(error, CollectError):
        assert not said
        return
    assert lost.reason == f"endpoint ended in a bug of inferaudit ({type(error).__name__})"
    log = Path(said[0].partition("details in ")[2].removesuffix(". Please report it."))
    assert type(error).__name__ in log.read_text()
    log.unlink()


@pytest.mark.parametrize("error", [UsageError("no such context"), Interrupted(143)])
def test_what_the_user_did_is_no_bug(error: Exception) -> None:
    with pytest.raises(type(error)):
        _take({"endpoint": ended(error)}, {}, lambda _: None)


def test_what_the_report_computes_is_not_missing_from_a_run() -> None:
    complete = _complete({}, interrupted=False)
    assert REPORT not in complete
    assert complete["process.history"].error is not None

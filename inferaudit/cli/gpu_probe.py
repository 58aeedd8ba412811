"""``--gpus pods`` on the command line: said before it is done, done after a yes, and what is left behind is named."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from inferaudit.audit import Interrupted
from inferaudit.cli.progress import Reporter
from inferaudit.errors import UsageError
from inferaudit.model import Fact, FactError
from inferaudit.plan import CollectPlan

if TYPE_CHECKING:
    from inferaudit.collect.gpu_probe import ProbeProposal


def proposed_probe(
    plan: CollectPlan, image: str, reporter: Reporter, *, yes: bool
) -> ProbeProposal | Mapping[str, Fact] | None:
    """What the probe would do, agreed to; the facts where there is nothing to look at; None where it was not asked for.

    :class:`UsageError` without cluster, image or yes.
    """
    if plan.gpu is None or plan.gpu.mode != "pods":
        if image:
            raise UsageError("--probe-image is for --gpus pods")
        return None
    from inferaudit.collect.gpu import FACT_NAMES
    from inferaudit.collect.gpu_probe import propose_probe

    proposal = propose_probe(plan.kubernetes, replace(plan.gpu, probe_image=image))
    if isinstance(proposal, FactError):
        reporter.note(f"--gpus pods: {proposal.reason}")
        return {name: Fact(error=proposal) for name in FACT_NAMES}
    reporter.note(proposal.words)
    if yes:
        return proposal
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("--gpus pods needs --yes: it starts pods in the cluster")
    if not reporter.confirm("Start them?"):
        raise UsageError("no probe was started; use --gpus off to audit without GPUs")
    return proposal


def run_proposal(
    plan: CollectPlan, proposal: ProbeProposal | Mapping[str, Fact] | None, reporter: Reporter
) -> tuple[CollectPlan, Mapping[str, Fact]]:
    """The plan that is left once the probe is done, and its facts. Interrupted, nothing is left of the plan.

    The signal was noted by whoever handles signals, so that the snapshot says it and the exit code tells it.
    """
    if proposal is None:
        return plan, {}
    rest = replace(plan, gpu=None)
    if isinstance(proposal, Mapping):
        return rest, proposal
    from inferaudit.collect.gpu_probe import run_probe

    try:
        result = run_probe(proposal, reporter.step)
    except (Interrupted, KeyboardInterrupt):
        return CollectPlan(), {}
    if result.left_behind:
        names = " ".join(name.partition("/")[2] for name in result.left_behind)
        reporter.note(f"not removed: kubectl delete pod -n {proposal.namespace} {names}")
    return rest, result.facts

"""The judge: catalogue × snapshot × policy → findings. Pure: no clock, no network, no environment.

What the checks do not say themselves is said here: the missing fact that becomes ``unknown`` under one cause, the scope
word under which nothing was examined, the waiver that expired or matched nothing.
"""

from __future__ import annotations

import fnmatch
import hashlib
import traceback
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inferaudit.api import not_applicable, unknown
from inferaudit.catalog import Catalog
from inferaudit.checklist_rows import completed
from inferaudit.errors import CheckBugError, InferauditError, MissingFactError
from inferaudit.facts import fact_specs
from inferaudit.facts.process import REPORT
from inferaudit.model import (
    UNREAD,
    Check,
    Evidence,
    Fact,
    FactError,
    FactErrorKind,
    Finding,
    Judgement,
    Outcome,
    Phase,
    Scope,
    Severity,
    Snapshot,
    Waiver,
)
from inferaudit.own_checks import ATTESTATION, COLLECTION, SCOPE, WAIVER
from inferaudit.policy import Policy
from inferaudit.policy_names import check_names
from inferaudit.void_promises import attestation_judgements, waiver_judgements

_SAID_SOMETHING = (Outcome.PASS, Outcome.FAIL)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checks are asked: ids, groups and tags."""

    select: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A judgement on its way to a finding."""

    check: Check
    judgement: Judgement
    blinded_by: FactError | None = None


def evaluate(
    catalog: Catalog, snapshot: Snapshot, policy: Policy, selection: Selection | None = None
) -> tuple[Finding, ...]:
    """Every check's findings, worst first, then by check and subject; `selection` overrides the policy's.

    Checks of what the report computes from findings are left out until :mod:`inferaudit.report_findings` judges them.
    """
    selection = selection or Selection(policy.select, policy.skip)
    check_names(catalog, policy)
    given = {"policy": Fact(policy.model_dump(mode="json"))} | _attestations(snapshot, catalog)
    snapshot = replace(snapshot, facts={**snapshot.facts, **given})
    checks = [
        check
        for check in catalog.select(selection.select, selection.skip)
        if REPORT not in check.needs or REPORT in snapshot.facts
    ]
    unfinished = _unfinished(snapshot)
    drafts: list[_Draft] = []
    for check in checks:
        outside = _outside(check, policy.scope)
        judged = [_Draft(check, outside)] if outside else _judge(check, snapshot, policy.parameters.get(check.id, {}))
        drafts += [_completed_elsewhere(_in_view(draft, policy.scope), unfinished) for draft in judged]
    drafts += _scope_drafts(drafts, policy, snapshot)
    drafts += _collection_drafts(drafts)
    return _stamp(drafts, snapshot, policy, catalog)


def _attestations(snapshot: Snapshot, catalog: Catalog) -> dict[str, Fact]:
    """The attestations with what their rows ask for and their documents lack."""
    fact = snapshot.facts.get("process.attestations")
    if fact is None or fact.error is not None:
        return {}
    return {"process.attestations": Fact(completed(fact.value, catalog.checklists.values()))}


def check_words(check: Check) -> frozenset[Scope]:
    """The scope words of a check: those of all its needs."""
    return frozenset(fact_specs()[name].scope for name in check.needs)


def _outside(check: Check, scope: Sequence[Scope]) -> Judgement | None:
    words = check_words(check) - {Scope.PROCESS}
    covered = set(scope)
    if Scope.MANIFESTS in covered and Scope.CLUSTER not in covered:
        if any(_only_live(name) for name in check.needs):
            return not_applicable(None, "outside the scope: it needs a live cluster and the scope is manifests")
        covered.add(Scope.CLUSTER)
    missing = sorted(words - covered)
    return not_applicable(None, f"outside the scope: {', '.join(missing)} not in it") if missing else None


def _in_view(draft: _Draft, scope: Sequence[Scope]) -> _Draft:
    """In the scope `manifests` what files do not hold, or cannot, is no open question: the audit is of these files."""
    files_alone = Scope.MANIFESTS in scope and Scope.CLUSTER not in scope
    error = draft.blinded_by
    unseen = (FactErrorKind.OUT_OF_VIEW, *((FactErrorKind.NO_TARGET,) if _only_live(draft.judgement.key) else ()))
    if files_alone and error and error.kind in unseen:
        return _Draft(draft.check, not_applicable(None, f"not in these files: {error.reason}"))
    return draft


def _only_live(name: str) -> bool:
    """Whether a fact is one that only a live cluster has; no other key is."""
    spec = fact_specs().get(name)
    return spec is not None and spec.live and spec.scope is Scope.CLUSTER


def _unfinished(snapshot: Snapshot) -> frozenset[str]:
    """Containers of a KServe InferenceService that name no image: a ServingRuntime completes them."""
    if snapshot.error("workload.containers"):
        return frozenset()
    containers = [c for c in snapshot.fact("workload.containers") if not c.get("image")]
    return frozenset(s for c in containers if (s := str(c.get("subject"))).startswith("inferenceservice."))


def _completed_elsewhere(draft: _Draft, unfinished: frozenset[str]) -> _Draft:
    """What an unfinished container lacks may be set where it is completed: that is not known, and no failure."""
    said = draft.judgement
    if said.outcome is not Outcome.FAIL or said.subject not in unfinished:
        return draft
    message = f"{said.message}; unless the ServingRuntime that completes this container sets it"
    return replace(draft, judgement=replace(said, outcome=Outcome.UNKNOWN, message=message))


def _judge(check: Check, snapshot: Snapshot, params: dict[str, Any]) -> list[_Draft]:
    """One check's drafts; a missing fact or a bug in the check makes one ``unknown`` instead of all it had said."""
    view = _view(check, snapshot)
    try:
        for name in check.needs:
            view.fact(name)
        drafts = [_Draft(check, judgement) for judgement in check(view, **params)]
        seen: set[tuple[str | None, str]] = set()
        for draft in drafts:
            identity = (draft.judgement.subject, draft.judgement.key)
            if identity in seen:
                raise CheckBugError(f"two judgements about {identity[0]} with the same key {identity[1]!r}")
            seen.add(identity)
    except MissingFactError as missing:
        if missing.name not in (*check.needs, *check.optional):
            return [_Draft(check, _bug(check, f"it reads {missing.name} and does not declare it"))]
        error = snapshot.error(missing.name)
        return [_Draft(check, unknown(None, _with_remedy(error, missing.reason), key=missing.name), error)]
    except InferauditError as error:
        return [_Draft(check, _bug(check, str(error)))]
    except Exception as error:  # a check is other people's code: its crash is an answer about it
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        return [_Draft(check, _bug(check, f"{type(error).__name__}: {error} at {line}"))]
    if drafts:
        return drafts
    looked = ", ".join(fact_specs()[name].title for name in check.needs)
    return [_Draft(check, not_applicable(None, f"nothing to judge; looked for: {looked}"))]


def _view(check: Check, snapshot: Snapshot) -> Snapshot:
    """The snapshot with only the declared facts, so that an undeclared read cannot work by accident."""
    declared = {*check.needs, *check.optional}
    return replace(snapshot, facts={name: fact for name, fact in snapshot.facts.items() if name in declared})


def _bug(check: Check, why: str) -> Judgement:
    return unknown(None, f"the check {check.id} ({check.origin}) is broken: {why}", key="bug")


def _scope_drafts(drafts: Sequence[_Draft], policy: Policy, snapshot: Snapshot) -> list[_Draft]:
    examined = {word for d in drafts if d.judgement.outcome in _SAID_SOMETHING for word in check_words(d.check)}
    out = []
    for word in policy.scope:
        need = Scope.CLUSTER if word is Scope.MANIFESTS else word
        if need in examined or (word is Scope.PROCESS and len(policy.scope) > 1):
            continue
        reasons = _word_errors(need, snapshot)
        why = "; ".join(reasons) if reasons else "no check looked at it"
        out.append(_Draft(SCOPE, unknown(f"scope/{word}", f"nothing was examined in {word}: {why}")))
    return out


def _word_errors(word: Scope, snapshot: Snapshot) -> list[str]:
    """Why the facts of a scope word are missing, each reason once."""
    reasons: dict[str, None] = {}
    for name, spec in fact_specs().items():
        error = snapshot.error(name) if spec.scope is word and name in snapshot.facts else None
        if error:
            reasons[_with_remedy(error)] = None
    return list(reasons)[:3]


def _collection_drafts(drafts: Sequence[_Draft]) -> list[_Draft]:
    """One finding for each cause that blinds checks. Unread gates always; what had no target, as what it blinds."""
    blinded: dict[str, list[_Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.blinded_by:
            blinded[draft.blinded_by.key].append(draft)
    return [_Draft(COLLECTION, _collection_judgement(key, group)) for key, group in blinded.items()]


def _collection_judgement(key: str, group: Sequence[_Draft]) -> Judgement:
    error = group[0].blinded_by
    assert error is not None  # noqa: S101  # grouped by it
    names = sorted({d.check.id for d in group})
    what = Evidence(
        " ".join(p for p in (error.verb, error.resource, error.namespace and f"in {error.namespace}") if p) or "read",
        error.kind.value,
        f"readable, for {len(names)} check{'s' * (len(names) > 1)}: {', '.join(names)}",
    )
    reasons = list(dict.fromkeys(d.blinded_by.reason for d in group if d.blinded_by))
    more = f"; and {len(reasons) - 4} more" if len(reasons) > 4 else ""
    said = replace(error, reason="; ".join(reasons[:4]) + more)
    return unknown(f"fact/{min(d.judgement.key for d in group)}", _with_remedy(said), what, key=key)


def _with_remedy(error: FactError | None, reason: str = "") -> str:
    """The reason, and what would mend it where the reason does not say so itself."""
    said = error.reason if error else reason
    return said if error is None or not error.remedy or error.remedy in said else f"{said}; {error.remedy}"


def _stamp(drafts: Sequence[_Draft], snapshot: Snapshot, policy: Policy, catalog: Catalog) -> tuple[Finding, ...]:
    by_key = {d.judgement.key: d for d in drafts if d.check is COLLECTION}
    scopes = {d.judgement.subject: d for d in drafts if d.check is SCOPE}
    # Only what is itself wrong, unknown or to be reviewed explains anything: a cause that passes would hide a failure.
    troubled = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW)
    prints = {(d.check.id, d.judgement.subject): _fingerprint(d) for d in drafts if d.judgement.outcome in troubled}
    blinded: dict[str, list[_Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.blinded_by:
            blinded[draft.blinded_by.key].append(draft)

    def cause(draft: _Draft) -> str | None:
        if draft.blinded_by:
            return _fingerprint(by_key[draft.blinded_by.key])
        if draft.check is SCOPE:
            return next((_fingerprint(by_key[key]) for key, group in blinded.items() if _unread_in(group, draft)), None)
        if draft.check is COLLECTION:
            group = blinded[draft.judgement.key]
            error = group[0].blinded_by
            words = {w for d in group for w in check_words(d.check)}
            owner = next((s for w in sorted(words) for s in (scopes.get(f"scope/{w}"),) if s), None)
            if owner and error and error.kind not in UNREAD:
                return _fingerprint(owner)
            return None
        return prints.get(draft.judgement.cause) if draft.judgement.cause else None

    def severity(draft: _Draft) -> Severity:
        if draft.check is COLLECTION:
            group = blinded[draft.judgement.key]
            if group[0].blinded_by and group[0].blinded_by.kind in UNREAD:
                return Severity.CRITICAL
            return min((severity(d) for d in group), key=lambda s: s.rank)
        if draft.blinded_by and draft.blinded_by.kind is FactErrorKind.NOT_ASKED:
            return Severity.LOW  # seen in every output, but opt-in evidence nobody asked for blocks no launch
        return policy.severity.get(draft.check.id, draft.check.severity)

    def due(draft: _Draft) -> bool:
        if draft.check is COLLECTION:
            return any(due(d) for d in blinded[draft.judgement.key]) or severity(draft) is Severity.CRITICAL
        return draft.check.phase.due_in(policy.phase)

    today = snapshot.collected_at[:10]
    waivers = [Waiver(**w.model_dump()) for w in policy.waivers]
    used: set[Waiver] = set()
    known = _baseline(snapshot)
    findings = []
    for draft in drafts:
        waiver = _waiver(draft, waivers, today)
        if waiver:
            used.add(waiver)
        finding = _finding(draft, severity(draft), cause(draft), waiver, due(draft))
        findings.append(replace(finding, gates=_gates(finding, policy, known)))
    looked = {d.check.id for d in drafts if _outside(d.check, policy.scope) is None}
    own = [_Draft(WAIVER, said) for said in waiver_judgements(waivers, used, looked, today)]
    own += [_Draft(ATTESTATION, said) for said in attestation_judgements(snapshot, catalog.checklists, findings)]
    for draft in own:
        why = prints.get(draft.judgement.cause) if draft.judgement.cause else None
        finding = _finding(draft, policy.severity.get(draft.check.id, draft.check.severity), why, None, True)
        findings.append(replace(finding, gates=_gates(finding, policy, known)))
    return tuple(sorted(findings, key=finding_order))


def _unread_in(group: Sequence[_Draft], scope: _Draft) -> bool:
    """Is this group's failed read why nothing was examined in the scope word of `scope`?"""
    error = group[0].blinded_by
    words = {f"scope/{word}" for draft in group for word in check_words(draft.check)}
    return error is not None and error.kind in UNREAD and scope.judgement.subject in words


def _finding(draft: _Draft, severity: Severity, cause: str | None, waiver: Waiver | None, due: bool) -> Finding:
    check, judgement = draft.check, draft.judgement
    fingerprint = _fingerprint(draft)
    return Finding(
        check=check.id,
        title=check.title,
        group=check.group,
        severity=severity,
        outcome=judgement.outcome,
        subject=judgement.subject,
        message=judgement.message,
        evidence=judgement.evidence,
        remediation=check.remediation,
        references=check.references,
        waiver=waiver,
        cause=None if cause == fingerprint else cause,
        fingerprint=fingerprint,
        phase=check.phase,
        due=due,
        gates=False,
    )


def _gates(finding: Finding, policy: Policy, known: frozenset[str]) -> bool:
    if finding.outcome not in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW):
        return False
    if finding.cause or finding.waiver or not finding.due or finding.fingerprint in known:
        return False
    return finding.severity.at_least(policy.gate.fail_on) or (
        finding.check == COLLECTION.id and finding.severity is Severity.CRITICAL
    )


def _baseline(snapshot: Snapshot) -> frozenset[str]:
    """Fingerprints of failures that an earlier report already had: they are shown and do not gate."""
    fact = snapshot.facts.get("process.baseline")
    return frozenset(fact.value if fact and fact.error is None else ())


def _fingerprint(draft: _Draft) -> str:
    identity = (draft.check.id, draft.judgement.subject or "", draft.judgement.key)
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]


def _waiver(draft: _Draft, waivers: Iterable[Waiver], today: str) -> Waiver | None:
    if draft.judgement.outcome is not Outcome.FAIL:
        return None
    for waiver in waivers:
        subject = waiver.subject is None or fnmatch.fnmatchcase(draft.judgement.subject or "", waiver.subject)
        if waiver.check == draft.check.id and subject and today <= waiver.expires:
            return waiver
    return None


_OUTCOME_ORDER = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW, Outcome.PASS, Outcome.NOT_APPLICABLE)


def finding_order(finding: Finding) -> tuple[Any, ...]:
    """Sorts findings as every output has them."""
    return (
        not finding.gates,
        _OUTCOME_ORDER.index(finding.outcome),
        finding.severity.rank,
        list(Phase).index(finding.phase),
        finding.check,
        finding.subject or "",
        finding.fingerprint,
    )

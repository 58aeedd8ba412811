"""The way to the endpoint: the URL given, the Service's name from inside the cluster, or a port-forward of our own.

And what else takes the workload's pods one by one: ``--replicas``, which reads, and ``--chaos``, which is said before
it is done and done after a yes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inferaudit.audit import Collected, Interrupted
from inferaudit.cli.flags import Flags
from inferaudit.cli.progress import Reporter
from inferaudit.errors import UsageError
from inferaudit.facts import fact_specs
from inferaudit.facts.reach import Reach
from inferaudit.model import Fact, FactError, FactErrorKind, Scope
from inferaudit.plan import ChaosPlan, CollectPlan, KubernetesPlan, ReplicasPlan
from inferaudit.planning import Asked, collect_plan, overridden
from inferaudit.policy import Policy
from inferaudit.units import parse_duration_s, parse_rate_per_s

if TYPE_CHECKING:
    from inferaudit.collect.port_forward import Tunnel
    from inferaudit.collect.reach import Surroundings
    from inferaudit.serving_address import Address

TUNNEL_LOAD = FactError(
    FactErrorKind.NO_TARGET,
    "no load was sent: through a port-forward it would measure the tunnel",
    source="load target",
    remedy="run inferaudit inside the cluster, or give --url a NodePort, a load balancer or the gateway",
)


@dataclass(frozen=True, slots=True)
class Way:
    """What is left of the plan, and the facts that are known before anything is collected.

    `forward` is to whom a port-forward will be opened; `url` the endpoint's where it has one of its own.
    """

    plan: CollectPlan
    facts: dict[str, Fact] = field(default_factory=dict)
    url: str = ""
    forward: tuple[Surroundings, Address] | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A way that is open: the plan to run, the facts known by now, and the tunnel, where there is one."""

    plan: CollectPlan
    facts: dict[str, Fact]
    tunnel: Tunnel | None = None


def settle(flags: Flags, policy: Policy, asked: Asked, reporter: Reporter) -> Way:
    """The way that target and flags leave; :class:`UsageError` for what cannot be meant."""
    target, plan = policy.target, collect_plan(policy, asked)
    kubernetes = KubernetesPlan(target.context, asked.kubeconfig, target.namespace, target.workload)
    named = bool(target.context or ((target.namespace or target.workload) and not asked.manifests))
    wanted = [flag for flag, given in _flags(flags) if given]
    if wanted and not named:
        raise UsageError(f"{wanted[0]} needs a cluster: give -n and --workload (with --manifests: --context too)")
    if flags.chaos and not policy.chaos.targets:
        raise UsageError("--chaos needs chaos.targets in the policy: the workloads of which a pod may be deleted")
    way = Way(plan, {}, target.url)
    if target.url:
        way.facts["endpoint.reach"] = Fact(Reach(how="url", url=target.url))
        if flags.port_forward:
            reporter.note("--port-forward is not used: --url says where the endpoint is")
    forward = flags.port_forward and not target.url
    inside = not target.url and not forward and named and _from_inside(policy, kubernetes)
    if not (forward or inside or flags.replicas or flags.chaos):
        return way
    from inferaudit.collect.reach import look_around

    around = look_around(kubernetes, rpc=target.api.endswith("-grpc"))
    if isinstance(around, FactError):
        return replace(way, facts=way.facts | _unreached(around, flags, endpoint=forward or inside))
    if forward:
        way = _forwarded(way, around)
    elif inside:
        way = _inside(way, around, policy, asked, reporter)
    if flags.replicas:
        way = _each_replica(way, around)
    return _proposed(way, around, flags, policy, asked, reporter) if flags.chaos else way


@contextmanager
def opened(way: Way, policy: Policy, asked: Asked, reporter: Reporter) -> Iterator[Open]:
    """The way, open while the block runs. What stands in its way becomes the endpoint's facts."""
    if way.forward is None:
        yield Open(way.plan, way.facts)
        return
    from inferaudit.collect.port_forward import ForwardError, port_forward

    around, address = way.forward
    with ExitStack() as stack:
        try:
            tunnel = stack.enter_context(port_forward(around, address, reporter.step))
        except ForwardError as error:
            reporter.note(f"--port-forward: {error.error.reason}")
            done = Open(way.plan, way.facts | _no_endpoint(error.error))
        except (Interrupted, KeyboardInterrupt):
            # Whoever handles signals has noted it: the snapshot says so, and the exit code.
            done = Open(CollectPlan(), way.facts)
        else:
            reporter.note(f"port-forward: pod {tunnel.pod}, port {tunnel.pod_port}, in {tunnel.namespace}")
            if address.note:
                reporter.note(address.note)
            through = f"{address.scheme}://127.0.0.1:{tunnel.port}"
            endpoint = collect_plan(overridden(policy, {"target.url": through}), asked).endpoint
            assert endpoint is not None  # noqa: S101  # it was just given a URL
            # A certificate is for the Service's name, never for 127.0.0.1. Whose pod it is the API server vouches for.
            auth = replace(endpoint.auth, insecure=True)
            plan = replace(way.plan, endpoint=replace(endpoint, name=_name(around, address), auth=auth))
            done = Open(plan, way.facts, tunnel)
        yield done


def told(collected: Collected, way: Way, tunnel: Tunnel | None) -> Collected:
    """The snapshot with how the endpoint was reached in the end: the pod may have changed on the way."""
    if tunnel is None or way.forward is None:
        return collected
    around, address = way.forward
    note = address.note
    if tunnel.failure is not None:
        note = "; ".join(filter(None, (note, tunnel.failure.error.reason)))
    reach = Reach(
        how="port_forward",
        url=f"{address.scheme}://127.0.0.1:{tunnel.port}",
        namespace=around.namespace,
        workload=around.subject,
        service=address.service,
        service_port=address.service_port,
        pod=tunnel.pod,
        pod_port=tunnel.pod_port,
        reconnects=tunnel.reconnects,
        note=note,
    )
    snapshot = collected.snapshot
    return replace(collected, snapshot=replace(snapshot, facts={**snapshot.facts, "endpoint.reach": Fact(reach)}))


def _flags(flags: Flags) -> tuple[tuple[str, bool], ...]:
    return ("--port-forward", flags.port_forward), ("--replicas", flags.replicas), ("--chaos", flags.chaos)


def _from_inside(policy: Policy, kubernetes: KubernetesPlan) -> bool:
    from inferaudit.collect.reach import in_cluster

    return bool({Scope.ENDPOINT, Scope.LOAD} & set(policy.scope)) and in_cluster(kubernetes)


def _unreached(error: FactError, flags: Flags, *, endpoint: bool) -> dict[str, Fact]:
    facts = _no_endpoint(error) if endpoint else {}
    if flags.replicas:
        facts["endpoint.replicas"] = Fact(error=error)
    if flags.chaos:
        facts["endpoint.degradation"] = Fact(error=error)
    return facts


def _no_endpoint(error: FactError) -> dict[str, Fact]:
    """The endpoint's facts with one cause, less what is asked of the pods and what is only gathered when asked for."""
    words = {name: spec for name, spec in fact_specs().items() if spec.scope is Scope.ENDPOINT and not spec.opt_in}
    return {name: Fact(error=error) for name in words}


def _forwarded(way: Way, around: Surroundings) -> Way:
    facts = {name: Fact(error=TUNNEL_LOAD) for name in fact_specs() if name.startswith("load.")}
    if isinstance(around.address, FactError):
        return replace(way, facts=way.facts | facts | _no_endpoint(around.address))
    return replace(way, facts=way.facts | facts, forward=(around, around.address))


def _inside(way: Way, around: Surroundings, policy: Policy, asked: Asked, reporter: Reporter) -> Way:
    """The Service's own name: from a pod of the cluster it is the way that clients take."""
    address = around.address
    if isinstance(address, FactError):
        return replace(way, facts=way.facts | _no_endpoint(address))
    url = address.url(around.namespace)
    if url is None:
        reason = f"{around.subject} has no name in the cluster: no Service selects its pods"
        error = FactError(FactErrorKind.NO_TARGET, reason, "endpoint target", remedy="--port-forward, or --url URL")
        return replace(way, facts=way.facts | _no_endpoint(error))
    reporter.note(f"endpoint: {url}, the Service's name in this cluster")
    plan = collect_plan(overridden(policy, {"target.url": url}), asked)
    reach = Reach(
        how="service",
        url=url,
        namespace=around.namespace,
        workload=around.subject,
        service=address.service,
        service_port=address.service_port,
        pod_port=address.pod_port,
    )
    return replace(way, plan=plan, url=url, facts={**way.facts, "endpoint.reach": Fact(reach)})


def _name(around: Surroundings, address: Address) -> str:
    """What findings call the endpoint behind a port-forward: the same on every run, whatever port was free."""
    if address.service is None:
        return f"{around.subject.rpartition('/')[2]}.{around.namespace}:{address.pod_port}"
    return f"{address.service}.{around.namespace}.svc:{address.service_port}"


def _each_replica(way: Way, around: Surroundings) -> Way:
    from inferaudit.collect.reach import no_ready_pod
    from inferaudit.collect.replicas import MAX_PODS

    error = around.address if isinstance(around.address, FactError) else None if around.ready else no_ready_pod(around)
    if error is not None or isinstance(around.address, FactError):
        return replace(way, facts={**way.facts, "endpoint.replicas": Fact(error=error)})
    replicas = ReplicasPlan(
        kubernetes=around.kubernetes,
        subject=around.subject,
        namespace=around.namespace,
        pods=around.names[:MAX_PODS],
        port=around.address.pod_port,
        scheme=around.address.scheme,
        total=len(around.ready),
    )
    return replace(way, plan=replace(way.plan, replicas=replicas))


def _proposed(way: Way, around: Surroundings, flags: Flags, policy: Policy, asked: Asked, reporter: Reporter) -> Way:
    """The plan with the deletion agreed to, or the reason for none. :class:`UsageError` without a yes."""
    from inferaudit.collect.chaos import chaos_words, propose_chaos

    proposal = propose_chaos(around, policy.chaos.targets, way.url, asked.auth)
    if isinstance(proposal, FactError):
        reporter.note(f"--chaos: {proposal.reason}")
        return replace(way, facts={**way.facts, "endpoint.degradation": Fact(error=proposal)})
    plan = _bounded(proposal, policy)
    reporter.note(chaos_words(plan))
    if not flags.yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError("--chaos needs --yes: it deletes a pod")
        if not reporter.confirm("Delete it?"):
            raise UsageError("nothing was deleted; leave out --chaos to audit without it")
    return replace(way, plan=replace(way.plan, chaos=plan))


def _bounded(plan: ChaosPlan, policy: Policy) -> ChaosPlan:
    return replace(
        plan,
        rate=parse_rate_per_s(policy.chaos.rate),
        before_s=parse_duration_s(policy.chaos.before),
        limit_s=parse_duration_s(policy.chaos.recovery),
        abrupt=policy.chaos.abrupt,
    )

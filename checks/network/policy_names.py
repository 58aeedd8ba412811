import re
from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import FROM_SECRET, environment, is_hub_model, serving_engines
from inferaudit.kube.view import name_of
from inferaudit.network_peers import about_egress, egress_of, lets_names_be_asked
from inferaudit.subjects import object_subject

_STORE = re.compile(r"\b(?:s3|gs|az|abfss?|wasbs?|oss|hf)://[\w.-]+")
_INSIDE = re.compile(r"(?<![\w.-])((?:[a-z0-9-]+\.)+)svc(?:\.cluster\.local)?(?![\w-])")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_LASTING = ("persistentVolumeClaim", "hostPath", "nfs", "csi", "image", "ephemeral")


@check(
    title="The NetworkPolicy lets the pods look names up",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.networkpolicies"),
    optional=("service.services", "service.configmaps", "service.vendornetworkpolicies"),
    remediation=(
        "Add under `spec.egress`: `- {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "
        "kube-system}}}], ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}`."
    ),
    references=(
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-deny-all-egress-traffic",
    ),
)
def policy_names(snapshot: Snapshot) -> Iterator[Judgement]:
    """A policy of egress also drops the questions to the cluster's name server, unless a rule admits them: each name
    that the pods call then ends in a time-out, a model hub, a bucket and another Service alike.

    Names are asked for over UDP, and a rule without a protocol is about TCP. Judged are pods that plainly need a name,
    and rules whose peers can be told; an address range may be the name server's.
    """
    workload = snapshot.fact("workload")
    policies = [p for p in snapshot.fact("service.networkpolicies") if about_egress(p)]
    if not policies:
        return
    spec = workload.template.get("spec") or {}
    subject = object_subject(next((p for p in policies if egress_of(p)), policies[0]))
    rules = [rule for policy in policies for rule in egress_of(policy)]
    seen = Evidence("spec.egress", rules, "a rule that admits port 53 of UDP to the name server")
    options = {each.get("name") for each in (spec.get("dnsConfig") or {}).get("options") or ()}
    protocol = "TCP" if "use-vc" in options else "UDP"
    admitted = lets_names_be_asked(policies, workload.namespace, protocol)
    if spec.get("hostNetwork"):
        yield not_applicable(subject, "pods on the network of their node are not subject to it", seen)
    elif spec.get("dnsPolicy") == "None":
        yield not_applicable(subject, "the pods ask name servers of their own", seen)
    elif admitted:
        yield passed(subject, "lets the pods ask for names", seen)
    elif admitted is None:
        yield not_applicable(subject, "whether a rule admits the name server hangs on addresses or labels", seen)
    elif not (need := _need(snapshot, spec, outside=any(_leads_out(rule) for rule in rules))):
        yield not_applicable(subject, "no name is seen that the pods would have to look up", seen)
    elif others := snapshot.fact_or("service.vendornetworkpolicies", ()):
        yield not_applicable(subject, f"{object_subject(others[0])} may admit what it does not", seen)
    else:
        snapshot.require_read("service.vendornetworkpolicies")
        tcp = protocol == "UDP" and lets_names_be_asked(policies, workload.namespace, "TCP")
        how = "admits the name server over TCP alone, which is asked over UDP" if tcp else "admits no name server"
        yield failed(subject, f"{how}, and the pods call {need}", seen)


def _leads_out(rule: Mapping[str, Any]) -> bool:
    """Whether a rule is there for what is called outside: about everybody, or about addresses."""
    return not rule.get("to") or any(peer.get("ipBlock") for peer in rule["to"])


def _need(snapshot: Snapshot, spec: Mapping[str, Any], *, outside: bool) -> str:
    """A name that the pods cannot do without; empty where none is seen.

    Weights of a hub on a lasting volume may be there to stay, unless rules let the pods call outside.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    data = {name_of(each): each.get("data") or {} for each in maps}
    own = {name_of(each) for each in snapshot.fact_or("service.services", ())}
    containers = snapshot.fact("workload.containers")
    for container in containers:
        values = environment(container, data).values()
        words = (*(container.get("command") or ()), *(container.get("args") or ()), container.get("storageUri"))
        for text in (str(each) for each in (*words, *values) if each and each != FROM_SECRET):
            if store := _STORE.search(text):
                return store[0]
            for host in _INSIDE.finditer(text):
                if host[1].partition(".")[0] not in own:
                    return host[0]
    lasting = {v.get("name") for v in spec.get("volumes") or () if any(kind in v for kind in _LASTING)}
    workload = snapshot.fact("workload")
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    lasting |= {name_of(each) for each in templates}
    for container, engine in serving_engines(containers, maps):
        model = engine.value("model") or ""
        kept = any(mount.get("name") in lasting for mount in container.get("volumeMounts") or ())
        offline = any(engine.env.get(name, "0").lower() in ("1", "true", "yes", "on") for name in _OFFLINE)
        if is_hub_model(model) and not offline and (outside or not kept):
            return f"the hub for {model}"
    return ""

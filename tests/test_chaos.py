"""The deletion of one pod where the API server itself is in trouble: its answers lost, refused or late.

The real one answers too well for it: this one speaks lists and deletions on loopback, and the endpoint beside it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferaudit import audit
from inferaudit.audit import Interruption, collect
from inferaudit.collect.chaos import chaos_words, collect_chaos, propose_chaos
from inferaudit.collect.reach import Surroundings
from inferaudit.collect.replicas import collect_replicas
from inferaudit.facts.endpoint import EndpointTarget, PlainAnswer, RuntimeFact
from inferaudit.model import Fact, FactErrorKind, Target
from inferaudit.plan import ChaosPlan, CollectPlan, HttpAuth, KubernetesPlan, ReplicasPlan
from inferaudit.pod_state import serves
from inferaudit.serving_address import Address

SAID = {"role": "assistant", "content": "x"}
ANSWER = {"object": "chat.completion", "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]}


def pod(name: str, owner: str = "set-1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "ownerReferences": [{"kind": "StatefulSet", "name": owner, "uid": owner, "controller": True}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


@dataclass
class Place:
    """An API server with pods, and the endpoint that they serve. `lists` are the statuses of lists after a deletion."""

    pods: list[dict[str, Any]]
    lists: list[int] = field(default_factory=list)
    deletion: str = "yes"  # or "lost": done, and the answer is not; "ignored": neither
    renewed: bool = True
    deleted: list[str] = field(default_factory=list)
    url: str = ""
    folder: Path = Path()

    def plan(self, **changes: Any) -> ChaosPlan:
        asked = ChaosPlan(
            self.kubernetes, "statefulset/a/b", "a", "b-0", "uid-b-0", "set-1", 2, 2, self.url,
            rate=10.0, before_s=0.5, after_s=0.2, limit_s=6.0,
        )  # fmt: skip
        return replace(asked, **changes)

    @property
    def kubernetes(self) -> KubernetesPlan:
        config = self.folder / "config"
        config.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "c", "user": {"token": "invented"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }))  # fmt: skip
        return KubernetesPlan(kubeconfig=str(config), context="c", namespace="a")

    def delete(self, name: str) -> None:
        self.deleted.append(name)
        if self.deletion != "ignored":
            self.pods = [each for each in self.pods if each["metadata"]["name"] != name]
            if self.renewed:
                fresh = pod(name)
                fresh["metadata"]["uid"] = "uid-fresh"
                self.pods = [*self.pods, fresh]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    there = Place([pod("b-0"), pod("b-1")], folder=tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def say(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if "/proxy/" in self.path:
                self.drip()
                return
            status = there.lists.pop(0) if there.deleted and there.lists else 200
            self.say(status, {"metadata": {}, "items": there.pods} if status == 200 else {"message": "no"})

        def drip(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    if done.wait(0.2):
                        return
            except OSError:
                pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say(200, ANSWER)

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            there.delete(self.path.rpartition("/")[2])
            if there.deletion == "yes":
                self.say(200, {})
            self.close_connection = True

    done = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield there
    done.set()
    server.shutdown()
    server.server_close()


def facts(url: str) -> dict[str, Fact]:
    target = EndpointTarget(
        subject="endpoint", url=url, host="127.0.0.1", port=1, scheme="http", loopback=True, api="openai-chat",
        api_source="given", model="m", model_source="given",
    )  # fmt: skip
    known = RuntimeFact(name="unknown", title="unknown", version=None, confidence=0.0, evidence=[], profile="vllm")
    plain = PlainAnswer(route="/v1/chat/completions", sample="known", status=200, latency_ms=1.0)
    return {"endpoint.target": Fact(target), "endpoint.runtime": Fact(known), "endpoint.plain": Fact(plain)}


def lost(place: Place, **changes: Any) -> Fact:
    return collect_chaos(place.plan(**changes), facts(place.url), threading.Event(), environ={})["endpoint.degradation"]


def test_as_many_as_were_ready_at_the_deletion_have_to_be_again(place: Place) -> None:
    place.pods.append(pod("b-2"))  # since the plan was made
    seen = lost(place)
    assert seen.error is None, seen.error
    assert (seen.value.ready, place.deleted, seen.value.unseen) == (3, ["b-0"], "")
    assert seen.value.recovery_s is not None


def test_one_refusal_does_not_end_the_watch(place: Place) -> None:
    place.lists = [401]
    seen = lost(place)
    assert seen.error is None, seen.error
    assert seen.value.recovery_s is not None


def test_what_could_not_be_seen_is_not_a_pod_that_stayed_away(place: Place) -> None:
    place.lists = [401] * 50
    seen = lost(place, limit_s=3.0)
    assert seen.error is None, seen.error
    assert seen.value.recovery_s is None
    assert "does not accept the credentials" in seen.value.unseen


def test_a_pod_that_stays_away_is_seen_to(place: Place) -> None:
    place.renewed = False
    seen = lost(place, limit_s=3.0)
    assert seen.error is None, seen.error
    assert (seen.value.recovery_s, seen.value.unseen) == (None, "")


def test_a_deletion_whose_answer_is_lost_is_seen_in_the_pods(place: Place) -> None:
    place.deletion = "lost"
    seen = lost(place)
    assert seen.error is None, seen.error
    assert (seen.value.recovery_s is not None, place.deleted) == (True, ["b-0"])


def test_a_deletion_without_an_answer_and_without_effect_is_told_as_that(place: Place) -> None:
    place.deletion = "ignored"
    error = lost(place, limit_s=3.0).error
    assert error is not None
    assert "the deletion of pod b-0 got no good answer" in error.reason
    assert "it was still there afterwards" in error.reason


def test_nothing_is_deleted_when_no_request_was_seen(place: Place) -> None:
    error = lost(place, before_s=0.0).error
    assert error is not None
    assert "nothing was deleted" in error.reason
    assert place.deleted == []


def test_a_second_signal_leaves_word_that_a_pod_may_be_gone(place: Place) -> None:
    place.renewed = False
    interruption = Interruption()

    def progress(text: str) -> None:
        if "waiting for" in text:
            interruption.signal(130)
            interruption.signal(130)

    collected = collect(
        CollectPlan(chaos=place.plan()), Target(), {}, facts(place.url), now=lambda: "2026-01-01T00:00:00Z",
        progress=progress, interruption=interruption,
    )  # fmt: skip
    assert place.deleted == ["b-0"]
    assert (collected.interrupted_by, collected.snapshot.interrupted) == (130, True)
    error = collected.snapshot.facts["endpoint.degradation"].error
    assert error is not None
    assert (error.kind, error.reason) == (
        FactErrorKind.INTERRUPTED,
        "--chaos was interrupted: a pod may have been deleted: a/b-0",
    )
    interruption.signal(143)  # while it is put together: noted, and nothing of it is lost


def test_the_question_names_the_context(place: Place) -> None:
    assert "pod b-0 in namespace a of context c, one of 2" in chaos_words(place.plan())


INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


def test_of_a_leader_worker_set_only_leaders_serve_and_count(place: Place) -> None:
    leaders = [pod("b-0", **{INDEX: "0"}), pod("b-1", **{INDEX: "0"})]
    workers = [pod(f"b-{group}-{n}", "set-1", **{INDEX: str(n)}) for group in (0, 1) for n in (1, 2, 3)]
    place.pods = [*leaders, *workers]
    assert [serves(each) for each in place.pods] == [True] * 2 + [False] * 6
    around = Surroundings(place.kubernetes, "leaderworkerset/a/b", "a", 2, tuple(leaders), Address(80, "http", "b", 80))
    plan = propose_chaos(around, ["leaderworkerset/a/b"], place.url, HttpAuth())
    assert isinstance(plan, ChaosPlan)
    seen = lost(place, pod=plan.pod, pod_uid=plan.pod_uid, owner_uid=plan.owner_uid)
    assert seen.error is None, seen.error
    assert (seen.value.ready, place.deleted) == (2, ["b-0"])


def test_a_replica_that_drips_its_answer_has_an_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferaudit.collect.replicas._GET_S", 1.0)
    asked = ReplicasPlan(place.kubernetes, "statefulset/a/b", "a", ("b-0",), 8000, "http", 1)
    (answer,) = collect_replicas(asked)["endpoint.replicas"].value.answers
    assert answer.error == "the answer was not complete within 1 s"


def test_a_bug_ends_no_audit_and_says_that_a_pod_may_be_gone(place: Place) -> None:
    said: list[str] = []
    broken = facts(place.url) | {"endpoint.target": Fact("no target at all")}
    found = audit._chaos(CollectPlan(chaos=place.plan()), broken, threading.Event(), said.append)
    error = found["endpoint.degradation"].error
    assert error is not None
    assert (error.kind, error.remedy) == (FactErrorKind.FAILED, "kubectl get pods -n a")
    assert error.reason.startswith("a pod may have been deleted: a/b-0; chaos ended in a bug of inferaudit (")
    log = Path(said[-1].partition("details in ")[2].removesuffix(". Please report it."))
    assert "Traceback" in log.read_text()
    log.unlink()

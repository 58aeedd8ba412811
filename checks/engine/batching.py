import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.engine_args import serving_engines


@check(
    title="Requests are batched",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps", "workload"),
    remediation=(
        "Switch dynamic or continuous batching on: `dynamic_batching` in Triton, `--enable_batching` in TF "
        "Serving, a batching runtime for a server of your own."
    ),
    references=(
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/batcher.html",
    ),
)
def batching(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that computes one request at a time does a small part of what it could, and queues the rest.

    Batching is what makes throughput rise with concurrency; without it every further user waits for all before.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    workload = snapshot.fact_or("workload", None)
    applications = str((workload.object.get("spec") or {}).get("serveConfigV2")) if workload else ""
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        profile, size = engine.profile, engine.settings.get("batch_size")
        if size is None:
            snapshot.require_read("service.configmaps")
        number = engine.number("batch_size")
        known = profile.settings["batch_size"].config if "batch_size" in profile.settings else ()
        switched = re.search(r"(dynamic|sequence)_batching", " ".join(engine.files.values()))
        shown = Evidence(
            size.source if size else "args", size.value if size else None, "batching on, more than one at a time"
        )
        idle = next((name for name, text in engine.files.items() if _refused(name, text)), None)
        if idle:
            found = Evidence(idle, "max_batch_size: 0, dynamic_batching", "max_batch_size above 0")
            yield failed(
                subject, f"{idle} batches up to 0 requests and asks for dynamic_batching: it is not loaded", found
            )
        elif not engine.known:
            yield unknown(subject, "the runtime is not recognised: whether it batches cannot be seen", shown)
        elif profile.name == "ray-serve" and "ray.serve.llm" in applications:
            yield passed(subject, "Ray Serve LLM batches continuously", shown)
        elif number is not None and number <= 1:
            yield failed(subject, f"{engine.title} is held to one request at a time", shown)
        elif number and any("dynamic_batching" in key for key in known) and not switched:
            yield failed(
                subject, f"batches of {size.value} are accepted and none is formed: no dynamic_batching", shown
            )
        elif profile.batching == "continuous":
            yield passed(subject, f"{engine.title} batches continuously", shown)
        elif size is not None and not size.off and (number or 0) != 0:
            yield passed(subject, f"{engine.title} batches up to {size.value}", shown)
        elif size is not None and not size.off and size.value.lower() in ("", "true"):
            yield passed(subject, f"batching of {engine.title} is switched on", shown)
        elif switched:
            yield passed(subject, "the model's configuration has dynamic_batching", shown)
        elif (
            profile.batching == "dynamic"
            and profile.settings.get("batch_size")
            and not profile.settings["batch_size"].flags
        ):
            yield unknown(
                subject, f"batching of {engine.title} is set in the model's repository, which is not in view", shown
            )
        elif profile.batching == "dynamic" and profile.name == "tei":
            yield passed(subject, f"{engine.title} batches by tokens", shown)
        else:
            default = profile.settings["batch_size"].default if "batch_size" in profile.settings else "none"
            yield failed(subject, f"{engine.title} does not batch as it is set (default: {default})", shown)


def _refused(name: str, text: str) -> bool:
    """Whether Triton refuses a model's configuration: a batcher for batches of none."""
    none = re.search(r"(?m)^\s*max_batch_size\s*:\s*0\s*$", text)
    return name.endswith(".pbtxt") and none is not None and re.search(r"(?m)^\s*dynamic_batching\b", text) is not None

from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.quantity import parse_quantity

_MIB = 2**20


@check(
    title="Amounts of CPU and memory are in the unit that was meant",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    remediation="Write memory as `12Gi` and CPU as `3` (cores) or `3000m` (thousandths of one).",
    references=("https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/",),
)
def plausible_amounts(snapshot: Snapshot, *, least_memory_mib: int = 64, most_cores: int = 1000) -> Iterator[Judgement]:
    """`12M` are twelve megabytes, `12` twelve bytes, and `cpu: 3000` are three thousand cores. The API server takes all
    of them: the server is killed as it starts, or no node is ever large enough.

    Judged are serving containers, of which none starts in so little, and of which none has so many cores.
    """
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        given = {
            (side, name): (amount, parse_quantity(amount))
            for side in ("requests", "limits")
            for name, amount in ((container.get("resources") or {}).get(side) or {}).items()
            if name in ("cpu", "memory")
        }
        wrong = {
            f"resources.{side}.{name}": amount
            for (side, name), (amount, number) in given.items()
            if number is not None
            and (number >= most_cores if name == "cpu" else 0 < number < least_memory_mib * _MIB)
            and (name == "cpu" or side == "limits")  # a small request harms nobody by itself
        }
        subject = container["subject"]
        seen = Evidence(
            "resources", wrong or {"/".join(key): amount for key, (amount, _) in given.items()}, "plausible"
        )
        if wrong:
            path, amount = next(iter(wrong.items()))
            unit = "cores" if path.endswith("cpu") else "of memory"
            yield failed(subject, f"{path} is {amount} {unit}: another unit is meant", seen)
        elif given:
            yield passed(subject, "its amounts are plausible", seen)
        else:
            yield not_applicable(subject, "asks for no CPU and no memory", seen)

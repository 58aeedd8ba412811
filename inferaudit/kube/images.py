"""What an image reference says of its content: an inference runtime, a side-car, a platform agent."""

from __future__ import annotations

import re

# Parts of image paths under which the runtimes are published. Enough to find a workload; naming the runtime, with
# evidence, is the recogniser's task.
_INFERENCE = re.compile(
    r"vllm|llm-d|text-generation-inference|text-embeddings-inference|tritonserver|sglang|ollama|llama[.-]?cpp|llamacpp"
    r"|torchserve|tensorflow/serving|tensorflow-serving|tf-?serving|rayproject/ray|ray-(llm|ml)|anyscale/ray"
    r"|kserve|seldonio/mlserver|mlserver|nvcr\.io/nim/|bentoml|bento|tensorrt-?llm|trtllm|lmdeploy|xinference|localai"
    r"|openvino/model_server|aphrodite|tabbyapi|deepspeed-?mii|lorax|infinity|nvidia/dynamo|ai-dynamo|djl-serving"
    r"|huggingfaceserver|sklearnserver|lightllm|mistralrs|exllama|koboldcpp",
    re.IGNORECASE,
)
_SIDECAR = re.compile(
    r"istio/proxyv2|proxyv2|envoy|linkerd|vault(-k8s)?[:@]|hashicorp/vault|cloud-sql-proxy|queue-proxy|kserve/(agent|router|"
    r"storage-initializer)|fluent-?bit|fluentd|vector|otel|opentelemetry|oauth2-proxy|nginx|kube-rbac-proxy|dcgm-exporter"
    r"|statsd|promtail|datadog|config-reload|reloader|git-sync|redis|routing-sidecar",
    re.IGNORECASE,
)
_NOT_SERVING = re.compile(
    r"controller|operator|manager|webhook|dashboard|open-?webui|exporter|gateway|\bepp\b", re.IGNORECASE
)

# The first that matches, on "image name": order matters where one product's images share a word.
_PLATFORM_ROLES = (
    ("dra-driver", r"dra-driver"),
    ("dcgm-exporter", r"dcgm-exporter|device-metrics-exporter"),
    ("gpu-feature-discovery", r"gpu-feature-discovery|node-feature-discovery|nfd-worker"),
    ("device-plugin", r"device-plugin|gpu-plugin|neuron-device|tpu-device"),
    ("gpu-driver", r"nvidia-driver|nvidia/driver|driver-daemonset|container-toolkit|gpu-driver|driver-installer"),
    (
        "log-collector",
        r"fluent|vector|promtail|alloy|filebeat|logstash|datadog|splunk|otel|opentelemetry|cloudwatch-agent",
    ),
    ("node-problem-detector", r"node-problem-detector|gpud|node-readiness"),
    ("node-exporter", r"node-exporter|node_exporter"),
    ("image-cache", r"image-cache|kube-fledged|warm-image|image-puller|prepull|pre-pull|model-cache|spegel|dragonfly"),
    ("csi", r"csi"),
    ("network", r"kube-proxy|cilium|calico|flannel|antrea|weave|aws-node|kindnet|istio-cni"),
)


def is_inference_image(image: str) -> bool:
    """True for an image of a known serving runtime, but not for the same projects' controllers and side-cars."""
    return bool(_INFERENCE.search(image)) and not _NOT_SERVING.search(repository(image)) and not is_sidecar_image(image)


def is_sidecar_image(image: str) -> bool:
    """True for proxies, log shippers and the like that run beside a server."""
    return bool(_SIDECAR.search(image))


def platform_role(name: str, images: list[str]) -> str:
    """What a DaemonSet is there for, by its images and name; ``other`` when neither tells."""
    text = " ".join([*images, name]).lower()
    return next((role for role, pattern in _PLATFORM_ROLES if re.search(pattern, text)), "other")


def deployment_role(name: str, images: list[str]) -> str:
    """What a platform's Deployment is there for: ``node-autoscaler``, ``cost-monitor``, or ``other``."""
    text = " ".join([*(repository(image) for image in images), name]).lower()
    if re.search(r"cluster-autoscaler|karpenter", text):
        return "node-autoscaler"
    return "cost-monitor" if re.search(r"opencost|kubecost|cost-analyzer|cost-model", text) else "other"


def repository(image: str) -> str:
    """The image reference less tag and digest: ``ghcr.io/o/n`` of ``ghcr.io/o/n:1@sha256:…``."""
    bare = image.partition("@")[0]
    head, slash, tail = bare.rpartition("/")
    return head + slash + tail.partition(":")[0]

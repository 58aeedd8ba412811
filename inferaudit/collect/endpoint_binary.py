"""The Open Inference Protocol with binary tensors: requests and answers in JSON for the audit, in bytes on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from inferaudit.collect.http_client import Chunk, Http, Reply, parse_json
from inferaudit.rpc.tensors import binary_request, from_bytes

_LENGTH = "inference-header-content-length"


class BinaryHttp(Http):
    """:class:`Http` whose inference requests carry their tensors as bytes. A body without tensors goes as it is."""

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        credentials: bool,
        limit: float,
        on_chunk: Callable[[Chunk], bool] | None,
    ) -> Reply:
        if body and path.endswith("/infer"):
            document = parse_json(body.decode("utf-8", "replace"))
            if isinstance(document, dict):
                try:
                    body, length = binary_request(document)
                except (ValueError, KeyError, TypeError, AttributeError):
                    pass  # a bad request on purpose
                else:
                    headers = {**headers, "content-type": "application/octet-stream", _LENGTH: str(length)}
        reply = super()._send(method, path, body, headers, credentials, limit, on_chunk)
        if reply.error is not None or _LENGTH not in reply.headers:
            return reply
        try:
            return replace(reply, body=json.dumps(_document(reply)).encode())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return replace(reply, error="malformed_event", detail=f"no binary tensors: {error}")


def _document(reply: Reply) -> Any:
    """The answer as the JSON that says the same; ValueError where sizes and bytes do not fit together."""
    stated = reply.headers[_LENGTH]
    length = int(stated) if stated.isdecimal() else -1
    if not 0 < length <= len(reply.body):
        raise ValueError(f"{_LENGTH} is {stated[:20]!r} for {len(reply.body)} bytes")
    document, at = json.loads(reply.body[:length]), length
    for output in document["outputs"]:
        size = (output.get("parameters") or {}).pop("binary_data_size", None)
        if size is None:
            continue
        if at + size > len(reply.body):
            raise ValueError("less data than the outputs' sizes say")
        output["data"] = from_bytes(output["datatype"], reply.body[at : at + size])
        at += size
    if at != len(reply.body):
        raise ValueError("more data than the outputs' sizes say")
    return document

"""Answers of gRPC, kept as gRPC-Web carries them: messages, then the trailers as one more message with a flag."""

from __future__ import annotations

import re

from inferaudit.bench.answers import NO_TOKEN, Answer
from inferaudit.rpc.messages import parse
from inferaudit.rpc.session import frames
from inferaudit.rpc.status import OK, http_status, of_reset, read_status

_TRAILERS, _COMPRESSED = 0x80, 1
_RESET = re.compile(rb"\x80\0\0\0.x-stream-reset:(\d+)\r\n\Z", re.DOTALL)  # where a stream broke off, at any byte


def infer_response(data: bytes, answer: Answer) -> int:
    """One ModelInferResponse of the Open Inference Protocol, with at least one output."""
    message = _only(data, answer)
    if message is not None:
        _filled(message, "inference.ModelInferResponse", answer)
    return NO_TOKEN


def predict_response(data: bytes, answer: Answer) -> int:
    """One PredictResponse of TensorFlow Serving, with at least one output."""
    message = _only(data, answer)
    if message is not None:
        _filled(message, "tensorflow.serving.PredictResponse", answer)
    return NO_TOKEN


def _filled(message: bytes, name: str, answer: Answer) -> None:
    try:
        outputs = len(parse(name, message).outputs)
    except ValueError:
        outputs = 0
    if not outputs:
        answer.error, answer.kind = True, "malformed_event"


def _only(data: bytes, answer: Answer) -> bytes | None:
    """The message of a call that was answered with one; None, and the error's class in `answer`, otherwise."""
    answer.finished = True
    found: list[tuple[int, bytes]] = []
    broken = _RESET.search(data, max(0, len(data) - 64))
    try:
        found = [] if broken else frames(data)
    except ValueError:
        answer.kind = "malformed_event"
    else:
        reset = broken and _class_of_reset(int(broken[1]), begun=broken.start() > 0)
        answer.kind = reset or _class_of_call(found)
    answer.error = bool(answer.kind)
    return None if answer.error else found[0][1]


def _class_of_call(found: list[tuple[int, bytes]]) -> str:
    """The error class of a call by its messages and trailers; empty for one that went well."""
    if not found or found[-1][0] != _TRAILERS:
        return "truncated"
    messages = found[:-1]
    fields = dict(line.partition(b":")[::2] for line in found[-1][1].split(b"\r\n"))
    status = read_status(fields)
    if status is None:
        return "truncated"  # an answer that ends without saying how it went
    if status[0] != OK:
        return class_of(status[0])
    if any(flag & _COMPRESSED for flag, _ in messages):
        return "bad_encoding"  # we asked for none
    return "" if len(messages) == 1 else "malformed_event"


def class_of(status: int) -> str:
    """The error class of a status of gRPC: that of the HTTP status which means the same."""
    http = http_status(status)
    if http in (429, 503):
        return f"http_{http}"
    return "http_4xx" if http < 500 else "http_5xx"


def _class_of_reset(error: int, *, begun: bool) -> str:
    status = of_reset(error)
    if status is not None and not begun:
        return class_of(status)
    return "reset_in_body" if begun else "reset_before_headers"

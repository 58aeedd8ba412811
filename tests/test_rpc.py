"""gRPC's messages, tensors and framing, without a server."""

from __future__ import annotations

import contextlib
import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.rpc import tensorflow
from inferaudit.rpc.messages import message, parse
from inferaudit.rpc.session import NotHttp2Error, Session, block, frame, frames
from inferaudit.rpc.status import http_status, name_of, read_status
from inferaudit.rpc.tensors import WIDTHS, binary_request, from_bytes, infer_answer, infer_request, to_bytes

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
WHOLE = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-(2**15), 2**15 - 1), "UINT64": (0, 2**64 - 1)}


@pytest.mark.parametrize("datatype", sorted(WHOLE))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_whole_numbers_survive(datatype: str, data: st.DataObject) -> None:
    low, high = WHOLE[datatype]
    values = data.draw(st.lists(st.integers(low, high), max_size=20))
    raw = to_bytes(datatype, [values])
    assert len(raw) == WIDTHS[datatype] * len(values)
    assert from_bytes(datatype, raw) == values


@given(st.lists(st.text(max_size=20), max_size=8))
@settings(max_examples=30, deadline=None)
def test_texts_survive(values: list[str]) -> None:
    assert from_bytes("BYTES", to_bytes("BYTES", values)) == values


def test_floats_in_their_widths() -> None:
    assert to_bytes("FP32", [1.5, -2.0]) == struct.pack("<2f", 1.5, -2.0)
    assert to_bytes("BF16", [1.0]) == b"\x80\x3f"
    assert from_bytes("BF16", b"\x80\x3f\x00\xc0") == [1.0, -2.0]
    assert math.isclose(from_bytes("FP16", to_bytes("FP16", [0.1]))[0], 0.1, rel_tol=1e-3)
    for datatype, value in (("INT8", 128), ("FP7", 1), ("FP32", "text"), ("FP16", 1e30), ("UINT8", -1)):
        with pytest.raises(ValueError):
            to_bytes(datatype, [value])
    for datatype, raw in (("FP32", b"123"), ("BYTES", b"\5\0\0\0abc"), ("FP7", b"1")):
        with pytest.raises(ValueError):
            from_bytes(datatype, raw)


def test_a_request_in_json_in_bytes_and_as_a_message_is_the_same() -> None:
    body = {
        "id": "7",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 0.25]]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["é"], "parameters": {"content_type": "str"}},
        ],
        "outputs": [{"name": "y"}],
    }
    raw, length = binary_request(body)
    head = json.loads(raw[:length])
    assert [i["parameters"]["binary_data_size"] for i in head["inputs"]] == [8, 6]
    assert "data" not in head["inputs"][0]
    assert raw[length:] == struct.pack("<2f", 0.5, 0.25) + b"\2\0\0\0" + "é".encode()
    request = parse("inference.ModelInferRequest", infer_request(body, "m").SerializeToString())
    assert (request.id, request.model_name, [o.name for o in request.outputs]) == ("7", "m", ["y"])
    assert b"".join(request.raw_input_contents) == raw[length:]
    assert request.inputs[1].parameters["content_type"].string_param == "str"


def test_an_answer_by_typed_contents_and_by_raw_ones() -> None:
    answer = message("inference.ModelInferResponse", model_name="m")
    output = answer.outputs.add(name="y", datatype="INT64", shape=[2])
    output.contents.int64_contents.extend([1, 2])
    assert infer_answer(answer)["outputs"][0]["data"] == [1, 2]
    output.ClearField("contents")
    answer.raw_output_contents.append(struct.pack("<2q", 3, 4))
    assert infer_answer(answer)["outputs"][0]["data"] == [3, 4]
    answer.raw_output_contents.append(b"")
    with pytest.raises(ValueError, match="1 outputs and 2 contents"):
        infer_answer(answer)


def test_tensorflow_by_tensor_content_and_one_value_for_all() -> None:
    answer = message("tensorflow.serving.PredictResponse")
    whole, same = answer.outputs["whole"], answer.outputs["same"]
    for tensor in (whole, same):
        tensor.dtype = 1
        for size in (2, 2):
            tensor.tensor_shape.dim.add(size=size)
    whole.tensor_content = struct.pack("<4f", 1, 2, 3, 4)
    same.float_val.append(7)
    said = tensorflow.predict_json(answer.SerializeToString())["outputs"]
    assert said == {"whole": [[1, 2], [3, 4]], "same": [[7, 7], [7, 7]]}
    whole.tensor_content = b"123"
    with pytest.raises(ValueError, match="do not fill"):
        tensorflow.predict_json(answer.SerializeToString())


def test_statuses() -> None:
    assert (name_of(14), http_status(14), http_status(8), http_status(99)) == ("UNAVAILABLE", 503, 429, 500)
    assert read_status({b"grpc-status": b"5", b"grpc-message": b"no%20%C3%A9%0A"}) == (5, "no é\n")
    for odd in (
        {},
        {b"grpc-status": b""},
        {b"grpc-status": b"x"},
        {b"grpc-status": b"-1"},
        {b"grpc-status": b"9" * 30},
    ):
        assert read_status(odd) is None


def test_frames_of_messages() -> None:
    assert frames(frame(b"a") + frame(b"")) == [(0, b"a"), (0, b"")]
    with pytest.raises(ValueError):
        frames(frame(b"abc")[:-1])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_whatever_arrives_is_an_answer_or_no_http2(data: bytes) -> None:
    session = Session()
    session.start()
    session.receive(SETTINGS)
    session.call(block([(":path", "/a/b")]), frame(b"x"))
    with contextlib.suppress(NotHttp2Error):
        session.receive(data)


def test_where_reads_are_cut_changes_nothing() -> None:
    head = block([(":status", "200"), ("content-type", "application/grpc")])
    last = block([("grpc-status", "0")])
    body = frame(b"hello")
    answer = (
        len(head).to_bytes(3, "big") + b"\1\4\0\0\0\1" + head
        + len(body).to_bytes(3, "big") + b"\0\0\0\0\0\1" + body
        + len(last).to_bytes(3, "big") + b"\1\5\0\0\0\1" + last
    )  # fmt: skip
    for size in (1, 7, 1000):
        session = Session()
        session.start()
        session.receive(SETTINGS)
        session.call(block([(":path", "/a/b")]), frame(b"x"))
        parts = []
        for at in range(0, len(answer), size):
            parts += session.receive(answer[at : at + size])[0]
        assert b"".join(part.data for part in parts) == body
        assert parts[0].head == {b":status": b"200", b"content-type": b"application/grpc"}
        assert parts[-1].end
        assert parts[-1].trailers == {b"grpc-status": b"0"}

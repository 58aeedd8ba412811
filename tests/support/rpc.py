"""Servers of gRPC for tests: real ones out of grpcio, and one on h2 that breaks the rules as it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from inferaudit.rpc.messages import message, parse

Method = Callable[[bytes, grpc.ServicerContext], bytes]
OIP = "inference.GRPCInferenceService"


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = methods

    def service(self, details: Any) -> Any:
        method = self.methods.get(details.method)
        return grpc.unary_unary_rpc_method_handler(method) if method else None


def oip_methods(**others: Method) -> dict[str, Method]:
    """An Open Inference Protocol server with one model, `double`, of one FP32 input; `others` replace or add."""

    def infer(data: bytes, context: grpc.ServicerContext) -> bytes:
        asked = parse("inference.ModelInferRequest", data)
        if asked.model_name != "double":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {asked.model_name}")
        if not asked.inputs:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected 1 input")
        given, raw = asked.inputs[0], asked.raw_input_contents[0]
        count = 1
        for size in given.shape:
            count *= size
        if len(raw) != 4 * count:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{len(raw)} bytes for the shape {list(given.shape)}")
        answer = message("inference.ModelInferResponse", model_name="double", id=asked.id)
        answer.outputs.add(name="y", datatype="FP32", shape=given.shape)
        answer.raw_output_contents.append(raw)
        return bytes(answer.SerializeToString())

    def metadata(data: bytes, context: grpc.ServicerContext) -> bytes:
        name = parse("inference.ModelMetadataRequest", data).name
        if name != "double":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name}")
        answer = message("inference.ModelMetadataResponse", name="double", versions=["1"])
        answer.inputs.add(name="x", datatype="FP32", shape=[-1, 4])
        answer.outputs.add(name="y", datatype="FP32", shape=[-1, 4])
        return bytes(answer.SerializeToString())

    def ready(data: bytes, context: grpc.ServicerContext) -> bytes:
        return says("ModelReadyResponse", ready=parse("inference.ModelReadyRequest", data).name == "double")

    methods: dict[str, Method] = {
        "ServerLive": lambda data, context: says("ServerLiveResponse", live=True),
        "ServerReady": lambda data, context: says("ServerReadyResponse", ready=True),
        "ServerMetadata": lambda data, context: says("ServerMetadataResponse", name="own", version="1.2"),
        "ModelReady": ready,
        "ModelMetadata": metadata,
        "ModelInfer": infer,
    }
    return {f"/{OIP}/{name}": method for name, method in {**methods, **others}.items()}


def tf_methods(state: int = 30) -> dict[str, Method]:
    """TensorFlow Serving as its documentation has it, with the model `half_plus_two`; `state` 30 is AVAILABLE."""

    def named(request: Any, context: grpc.ServicerContext) -> Any:
        if request.model_spec.name != "half_plus_two":
            said = f"Could not find any versions of model {request.model_spec.name}"
            context.abort(grpc.StatusCode.NOT_FOUND, said)
        return request

    def status(data: bytes, context: grpc.ServicerContext) -> bytes:
        named(parse("tensorflow.serving.GetModelStatusRequest", data), context)
        answer = message("tensorflow.serving.GetModelStatusResponse")
        answer.model_version_status.add(version=1, state=state)
        return bytes(answer.SerializeToString())

    def metadata(data: bytes, context: grpc.ServicerContext) -> bytes:
        asked = named(parse("tensorflow.serving.GetModelMetadataRequest", data), context)
        if list(asked.metadata_field) != ["signature_def"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Metadata field is not supported")
        signatures = message("tensorflow.serving.SignatureDefMap")
        signature = signatures.signature_def["serving_default"]
        for side, name in ((signature.inputs, "x"), (signature.outputs, "y")):
            side[name].dtype = 1
            side[name].tensor_shape.dim.add(size=-1)
        answer = message("tensorflow.serving.GetModelMetadataResponse", model_spec=asked.model_spec)
        answer.metadata["signature_def"].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
        answer.metadata["signature_def"].value = signatures.SerializeToString()
        return bytes(answer.SerializeToString())

    def predict(data: bytes, context: grpc.ServicerContext) -> bytes:
        asked = named(parse("tensorflow.serving.PredictRequest", data), context)
        if state != 30:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Servable not found for request: Latest(half_plus_two)")
        if "x" not in asked.inputs:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "input size does not match signature: 0!=1")
        answer = message("tensorflow.serving.PredictResponse", model_spec=asked.model_spec)
        answer.outputs["y"].dtype = 1
        answer.outputs["y"].tensor_shape.dim.add(size=len(asked.inputs["x"].float_val))
        answer.outputs["y"].float_val.extend(value / 2 + 2 for value in asked.inputs["x"].float_val)
        return bytes(answer.SerializeToString())

    return {
        "/tensorflow.serving.ModelService/GetModelStatus": status,
        "/tensorflow.serving.PredictionService/GetModelMetadata": metadata,
        "/tensorflow.serving.PredictionService/Predict": predict,
    }


def says(of: str, /, **fields: Any) -> bytes:
    """The bytes of a message of the Open Inference Protocol."""
    return bytes(message(f"inference.{of}", **fields).SerializeToString())


@contextmanager
def serving(
    methods: Mapping[str, Method],
    *,
    tls: tuple[Path, Path] | None = None,
    healthy: bool | None = None,
    workers: int = 8,
    place: str = "127.0.0.1:0",
) -> Iterator[int]:
    """A grpcio server on loopback, or at `place`; its port.

    `tls` = (certificate, key); `healthy` adds the health service.
    """
    pool = futures.ThreadPoolExecutor(max_workers=workers)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((_Methods(methods),))
    if healthy is not None:
        servicer = health.HealthServicer()
        word = health_pb2.HealthCheckResponse.SERVING if healthy else health_pb2.HealthCheckResponse.NOT_SERVING
        servicer.set("", word)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if tls is None:
        port = server.add_insecure_port(place)
    else:
        certificate, key = (path.read_bytes() for path in tls)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait(5)
        pool.shutdown(wait=False, cancel_futures=True)


class Scripted:
    """One connection of the server that breaks rules. A script sends what it likes with it."""

    def __init__(self, sock: socket.socket, h2_connection: h2.connection.H2Connection, number: int) -> None:
        self.sock, self.h2, self.number = sock, h2_connection, number

    def flush(self) -> None:
        """Send what h2 has made."""
        self.sock.sendall(self.h2.data_to_send())

    def head(self, stream: int, *fields: tuple[str, str], status: str = "200", end: bool = False) -> None:
        """Response headers with gRPC's content type unless `fields` give one."""
        names = {name for name, _ in fields}
        kind = [] if "content-type" in names else [("content-type", "application/grpc")]
        self.h2.send_headers(stream, [(":status", status), *kind, *fields], end_stream=end)
        self.flush()

    def data(self, stream: int, content: bytes, *, end: bool = False, pad: int | None = None) -> None:
        """Bytes of the body."""
        self.h2.send_data(stream, content, end_stream=end, pad_length=pad)
        self.flush()

    def trailers(self, stream: int, *fields: tuple[str, str]) -> None:
        """The last headers."""
        self.h2.send_headers(stream, list(fields), end_stream=True)
        self.flush()


Script = Callable[[Scripted, int], None]


@contextmanager
def scripted(script: Script | None, *, raw: bytes | None = None, settings: bool = True) -> Iterator[int]:
    """A server that calls `script(connection, stream)` once a request has come whole; its port.

    With `raw` it sends those bytes on every connection and nothing else; without `settings` it stays silent.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    open_sockets: list[socket.socket] = []
    count = 0

    def serve(sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), sock:
            if raw is not None:
                sock.recv(65536)
                sock.sendall(raw)
                sock.settimeout(0.5)
                while sock.recv(65536):
                    pass
                return
            connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            connection.initiate_connection()
            one = Scripted(sock, connection, number)
            if settings:
                one.flush()
            while data := sock.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if isinstance(event, h2.events.StreamEnded) and script is not None:
                        one.flush()
                        script(one, event.stream_id)
                if settings:
                    one.flush()

    def accept() -> None:
        nonlocal count
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                open_sockets.append(sock)
                count += 1
                threading.Thread(target=serve, args=(sock, count), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in open_sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

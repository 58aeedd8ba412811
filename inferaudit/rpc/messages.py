"""The few messages that are spoken over gRPC, as classes of the protobuf runtime.

They are declared here, field by field, with the names and numbers of their .proto files, because compiled ahead they
would tie us to one generation of the runtime. Sources: the Open Inference Protocol's open_inference_grpc.proto (with
Triton's model repository extension), grpc/health/v1/health.proto, and TensorFlow Serving's apis/*.proto.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_FIELD = re.compile(r"(?:(map|repeated|oneof) )?([\w.]+) (\w+)=(\d+)$")
_SCALARS = ("double", "float", "int64", "uint64", "int32", "", "", "bool", "string", "", "", "bytes", "uint32")

# An enumeration is an int32 on the wire; `map T` is map<string, T>; all `oneof` fields of a message are of one choice.
_MESSAGES = {
    "grpc.health.v1": {
        "HealthCheckRequest": "string service=1",
        "HealthCheckResponse": "int32 status=1",
    },
    "inference": {
        "ServerLiveRequest": "",
        "ServerLiveResponse": "bool live=1",
        "ServerReadyRequest": "",
        "ServerReadyResponse": "bool ready=1",
        "ModelReadyRequest": "string name=1; string version=2",
        "ModelReadyResponse": "bool ready=1",
        "ServerMetadataRequest": "",
        "ServerMetadataResponse": "string name=1; string version=2; repeated string extensions=3",
        "ModelMetadataRequest": "string name=1; string version=2",
        "TensorMetadata": "string name=1; string datatype=2; repeated int64 shape=3",
        "ModelMetadataResponse": "string name=1; repeated string versions=2; string platform=3; "
        "repeated TensorMetadata inputs=4; repeated TensorMetadata outputs=5",
        "InferParameter": "oneof bool bool_param=1; oneof int64 int64_param=2; oneof string string_param=3; "
        "oneof double double_param=4; oneof uint64 uint64_param=5",
        "InferTensorContents": "repeated bool bool_contents=1; repeated int32 int_contents=2; "
        "repeated int64 int64_contents=3; repeated uint32 uint_contents=4; repeated uint64 uint64_contents=5; "
        "repeated float fp32_contents=6; repeated double fp64_contents=7; repeated bytes bytes_contents=8",
        "Tensor": "string name=1; string datatype=2; repeated int64 shape=3; map InferParameter parameters=4; "
        "InferTensorContents contents=5",
        "InferRequestedOutputTensor": "string name=1; map InferParameter parameters=2",
        "ModelInferRequest": "string model_name=1; string model_version=2; string id=3; "
        "map InferParameter parameters=4; repeated Tensor inputs=5; repeated InferRequestedOutputTensor outputs=6; "
        "repeated bytes raw_input_contents=7",
        "ModelInferResponse": "string model_name=1; string model_version=2; string id=3; "
        "map InferParameter parameters=4; repeated Tensor outputs=5; repeated bytes raw_output_contents=6",
        "ModelStreamInferResponse": "string error_message=1; ModelInferResponse infer_response=2",
        "RepositoryIndexRequest": "string repository_name=1; bool ready=2",
        "ModelIndex": "string name=1; string version=2; string state=3; string reason=4",
        "RepositoryIndexResponse": "repeated ModelIndex models=1",
    },
    "tensorflow": {
        "Dim": "int64 size=1; string name=2",
        "TensorShapeProto": "repeated Dim dim=2; bool unknown_rank=3",
        "TensorInfo": "string name=1; int32 dtype=2; TensorShapeProto tensor_shape=3",
        "SignatureDef": "map TensorInfo inputs=1; map TensorInfo outputs=2; string method_name=3",
        "TensorProto": "int32 dtype=1; TensorShapeProto tensor_shape=2; bytes tensor_content=4; "
        "repeated float float_val=5; repeated double double_val=6; repeated int32 int_val=7; "
        "repeated bytes string_val=8; repeated int64 int64_val=10; repeated bool bool_val=11; "
        "repeated int32 half_val=13; repeated uint32 uint32_val=16; repeated uint64 uint64_val=17",
    },
    "tensorflow.serving": {
        "Version": "int64 value=1",
        "ModelSpec": "string name=1; Version version=2; string signature_name=3",
        "StatusProto": "int32 error_code=1; string error_message=2",
        "ModelVersionStatus": "int64 version=1; int32 state=2; StatusProto status=3",
        "GetModelStatusRequest": "ModelSpec model_spec=1",
        "GetModelStatusResponse": "repeated ModelVersionStatus model_version_status=1",
        "Any": "string type_url=1; bytes value=2",
        "GetModelMetadataRequest": "ModelSpec model_spec=1; repeated string metadata_field=2",
        "GetModelMetadataResponse": "ModelSpec model_spec=1; map Any metadata=2",
        "SignatureDefMap": "map tensorflow.SignatureDef signature_def=1",
        "PredictRequest": "ModelSpec model_spec=1; map tensorflow.TensorProto inputs=2",
        "PredictResponse": "map tensorflow.TensorProto outputs=1; ModelSpec model_spec=2",
    },
}


def message(of: str, /, **fields: Any) -> Any:
    """A new message by its full name (``inference.ModelInferRequest``) with these fields."""
    return _classes()[of](**fields)


def parse(name: str, data: bytes) -> Any:
    """The message `name` in `data`; ValueError where the bytes are none."""
    from google.protobuf.message import DecodeError

    try:
        return _classes()[name].FromString(data)
    except DecodeError as error:
        raise ValueError(f"no {name.rpartition('.')[2]}: {error}") from None


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()  # our own: another package may have registered the same names
    classes = {}
    for package, messages in _MESSAGES.items():
        file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        if package == "tensorflow.serving":
            file.dependency.append("tensorflow.proto")
        for name, fields in messages.items():
            _declare(file.message_type.add(name=name), package, fields)
        pool.Add(file)
        for name in messages:
            full = f"{package}.{name}"
            classes[full] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
    return classes


def _declare(kind: Any, package: str, fields: str) -> None:
    for text in filter(None, fields.split("; ")):
        found = _FIELD.match(text)
        assert found is not None, text  # noqa: S101  # the table above
        label, of, name, number = found.groups()
        field = kind.field.add(name=name, number=int(number), label=3 if label in ("map", "repeated") else 1)
        if label == "oneof":
            field.oneof_index = 0
            if not kind.oneof_decl:
                kind.oneof_decl.add(name="choice")
        if label == "map":
            entry = kind.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=1, type=9)
            _type(entry.field.add(name="value", number=2, label=1), package, of)
            field.type = 11
            field.type_name = f".{package}.{kind.name}.{entry.name}"
        else:
            _type(field, package, of)


def _type(field: Any, package: str, of: str) -> None:
    if of in _SCALARS:
        field.type = _SCALARS.index(of) + 1
    else:
        field.type = 11
        field.type_name = f".{of}" if "." in of else f".{package}.{of}"

"""A linear model for KServe's Python server, by both protocols."""

import argparse

import grpc.aio
import numpy
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput

WEIGHTS = numpy.array([0.5, 0.25, -1.0], dtype=numpy.float32)


class Tiny(Model):
    def __init__(self):
        super().__init__("tiny")
        self.ready = True

    async def get_input_types(self):
        return [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]

    async def get_output_types(self):
        return [{"name": "y", "datatype": "FP32", "shape": [-1]}]

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            rows = payload.inputs[0].as_numpy()
            output = InferOutput(name="y", shape=[len(rows)], datatype="FP32")
            output.set_data_from_numpy((rows @ WEIGHTS).astype(numpy.float32), binary_data=False)
            return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])
        if "instances" not in payload:
            raise InvalidInput('"instances" is missing')
        return {"predictions": (numpy.array(payload["instances"], dtype=numpy.float32) @ WEIGHTS).tolist()}


class Loopback(uvicorn.Config):
    """KServe listens on every interface and has no option for it."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "host": "127.0.0.1"})


def _on_loopback(server, address, add=grpc.aio.Server.add_insecure_port):
    return add(server, address.replace("[::]", "127.0.0.1"))


if __name__ == "__main__":
    grpc.aio.Server.add_insecure_port = _on_loopback
    uvicorn.Config = Loopback
    argparse.ArgumentParser(parents=[model_server.parser]).parse_args()
    ModelServer().start([Tiny()])

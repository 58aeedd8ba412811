"""A linear model for MLServer, and three words a stream."""

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

WEIGHTS = numpy.array([[0.5], [0.25], [-1.0]], dtype=numpy.float32)


class Tiny(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(numpy.float32)
        return self._answer(NumpyCodec.encode_output("y", rows @ WEIGHTS))

    async def predict_stream(self, payloads):
        async for _ in payloads:
            for word in ("one ", "two ", "three"):
                yield self._answer(StringCodec.encode_output("text", [word], use_bytes=True))

    def _answer(self, output):
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])

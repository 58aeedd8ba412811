"""As many words as were asked for, each in a response of its own."""

import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            count = int(triton.get_input_tensor_by_name(request, "max_tokens").as_numpy()[0])
            for number in range(count):
                word = triton.Tensor("text_output", numpy.array([f"word{number} ".encode()], dtype=object))
                sender.send(triton.InferenceResponse([word]))
            sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

"""Twice the input. One execution takes 5 ms however large the batch is, as on a GPU."""

import time

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.005)
        tensors = [triton.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [triton.InferenceResponse([triton.Tensor("y", tensor * 2)]) for tensor in tensors]

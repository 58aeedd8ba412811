"""A sample model of TorchServe: three weights, late by LOAD_SECONDS, whole or in raw pieces."""

import os
import time
from pathlib import Path

import torch
from ts.handler_utils.utils import send_intermediate_predict_response


class _Tiny:
    weights = None

    def load(self, folder):
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
        self.weights = torch.load(Path(folder) / "tiny.pt")["w"]

    def answer(self, rows, context):
        answers = []
        for row in rows:
            body = row.get("data") or row.get("body")
            if body.get("stream"):
                for word in ("hello ", "world "):
                    send_intermediate_predict_response([word], context.request_ids, "Intermediate", 200, context)
                answers.append("end")
                continue
            x = torch.tensor(body["instances"], dtype=torch.float32)
            answers.append({"predictions": (x @ self.weights).tolist()})
        return answers


_TINY = _Tiny()


def handle(data, context):
    if _TINY.weights is None:
        _TINY.load(context.system_properties["model_dir"])
    return None if data is None else _TINY.answer(data, context)

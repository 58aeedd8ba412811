"""A sample deployment of Ray Serve, late by LOAD_SECONDS: ray_serve_app.py PORT METRICS_PORT."""

import asyncio
import os
import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import StreamingResponse

PORT, METRICS_PORT = map(int, sys.argv[1:])


@serve.deployment(num_replicas=1, max_ongoing_requests=8, max_queued_requests=64, ray_actor_options={"num_cpus": 0.1})
class Tiny:
    """A row times three weights; `sleep` takes seconds, `stream` sends an event a row."""

    def __init__(self):
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
        self.weights = (0.5, 0.25, -1.0)

    async def __call__(self, request: Request):
        if request.method == "GET":
            return {"ready": True}
        asked = await request.json()
        await asyncio.sleep(asked.get("sleep", 0))
        answers = [sum(a * b for a, b in zip(row, self.weights, strict=True)) for row in asked["instances"]]
        if not asked.get("stream"):
            return {"predictions": answers}

        async def events():
            for answer in answers:
                yield f"data: {answer}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")


ray.init(
    num_cpus=2,
    include_dashboard=False,
    _metrics_export_port=METRICS_PORT,
    object_store_memory=100 * 2**20,
    runtime_env={"env_vars": {"LOAD_SECONDS": os.environ.get("LOAD_SECONDS", "0")}},
)
serve.start(http_options=serve.HTTPOptions(host="127.0.0.1", port=PORT, request_timeout_s=20))
serve.run(Tiny.bind(), name="tiny", route_prefix="/tiny", blocking=False)
while True:
    time.sleep(1)

"""A service of one's own on FastAPI with Prometheus metrics. LOAD_SECONDS delays its readiness."""

import os
import time

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel

READY_AT = time.monotonic() + float(os.environ.get("LOAD_SECONDS", "0"))
app = FastAPI(title="tiny", version="1.2.3")
Instrumentator().instrument(app).expose(app)


class Question(BaseModel):
    instances: list[list[float]]
    stream: bool = False


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/ready")
def ready(response: Response) -> dict[str, bool]:
    loaded = time.monotonic() >= READY_AT
    response.status_code = 200 if loaded else 503
    return {"ready": loaded}


@app.post("/predict", response_model=None)
def predict(question: Question) -> StreamingResponse | dict[str, list[float]]:
    if time.monotonic() < READY_AT:
        raise HTTPException(503, "the model is loading")
    answers = [0.5 * a + 0.25 * b - c for a, b, c in question.instances]
    if question.stream:
        return StreamingResponse((f"data: {answer}\n\n" for answer in answers), media_type="text/event-stream")
    return {"predictions": answers}

"""A linear model, a stream and a slow call as a BentoML service. LOAD_SECONDS delays its load."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator

import bentoml


@bentoml.service(name="tiny", workers=1, traffic={"timeout": 10, "max_concurrency": 4})
class Tiny:
    def __init__(self) -> None:
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))

    @bentoml.api
    def predict(self, instances: list[list[float]]) -> list[float]:
        return [0.5 * a + 0.25 * b - c for a, b, c in instances]

    @bentoml.api
    async def generate(self, prompt: str = "") -> AsyncGenerator[str, None]:
        for word in ("one ", "two ", "three"):
            yield word
            await asyncio.sleep(0.005)

    @bentoml.api
    async def slow(self, seconds: float = 0.5) -> str:
        await asyncio.sleep(seconds)
        return "done"

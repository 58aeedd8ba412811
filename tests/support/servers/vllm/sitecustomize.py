"""On the path of vLLM alone: a short sleep for the yield.

vLLM polls its shared-memory ring with os.sched_yield() for a second after each step; on two cores that starved every
other process of the test for up to 15 s.
"""

import os
import time

os.sched_yield = lambda: time.sleep(0.0002)

"""SARIF for GitHub's code scanning: failures alone, each at a file of the repository.

GitHub takes every result for an alert, whatever its kind and whether or not it is suppressed, and refuses a whole file
in which one result has no physical location. So what passed, is waived or unknown, or was seen in a cluster and not in
a file, is left out here and counted; ``-o sarif`` has it all. At most 5 000 results: GitHub shows no more of a run.
"""

from __future__ import annotations

from inferaudit.model import Report
from inferaudit.render._document import read, split_location, standing
from inferaudit.render._options import Options
from inferaudit.render.sarif import log

MOST_RESULTS = 5_000


def render(report: Report, *, options: Options) -> str:
    """A log of what GitHub accepts as alerts, the gating first; its property `omitted` counts the rest."""
    document = read(report)
    failures = [f for f in standing(document) if f.status == "fail"]
    placed = [f for f in failures if split_location(f.location)[0]]
    shown = sorted(placed, key=lambda f: not f.gates)[:MOST_RESULTS]
    return log(document, shown, omitted=len(document.findings) - len(shown))

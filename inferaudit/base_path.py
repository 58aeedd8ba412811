"""Where a server begins in the URL that its user has at hand, which is often that of a request."""

import re

_ROUTE = re.compile(r"/v[12](/(chat/completions|completions|embeddings|rerank))?$")


def base_path(path: str) -> str:
    """`path` without a slash at its end, a version, and OpenAI's routes below it: those are put behind it anew."""
    return _ROUTE.sub("", path.rstrip("/")).rstrip("/")

"""Token events that differ from one already decoded in nothing but their text: known without decoding them again."""

from __future__ import annotations

import re

# A JSON string cannot hold this without a backslash before its quotes: where it stands, it is a key and a value.
_TEXT = re.compile(rb'"(?:content|text|reasoning_content|reasoning)": ?"([^"\\]*)"')
_plain = re.compile(rb"[ !#-\[\]-~]*").fullmatch  # printable ASCII that ends no string and escapes nothing
_TRIES = 8


class Shape:
    """One stream's usual token event, as the bytes `before` and `after` its text; none is known while both are empty.

    An event of this shape is valid JSON with the same fields and values as the one that was decoded, but for a text
    which is neither empty nor in need of decoding. What it says of tokens, usage, errors and the end is then the same.
    """

    __slots__ = ("_edges", "_tries", "after", "before")

    plain = staticmethod(_plain)
    """Does this text need no decoding? Several, put together, neither."""

    def __init__(self) -> None:
        self.before = self.after = b""
        self._edges = 1
        self._tries = _TRIES

    def fits(self, data: bytes) -> bool:
        """Is this event known?"""
        return (
            len(self.before) > 0
            and data.startswith(self.before)
            and data.endswith(self.after)
            and len(data) > self._edges
            and _plain(data, len(self.before), len(data) - len(self.after)) is not None
        )

    def learn(self, data: bytes) -> None:
        """Take the shape of a token event that states no count; those with more to say are always decoded."""
        if not self._tries:
            return
        self._tries -= 1
        found = None if b'"usage":{' in data or b'"usage": {' in data else _TEXT.search(data)
        if found is None or b'"finish_reason":"' in data or b'"finish_reason": "' in data:
            return
        self.before, self.after = data[: found.start(1)], data[found.end(1) :]
        self._edges = len(self.before) + len(self.after)

    def worked(self, events: int) -> None:
        """So many events were known by it: the next change of shape is worth learning too."""
        if events >= _TRIES:
            self._tries = _TRIES

"""One HTTP/2 connection as a gRPC client sees it: bytes in, bytes out, one call at a time, and no I/O.

Frames are cut and made here; header compression is `hpack`'s. The `h2` package is not used: it gives a connection up
with the first GOAWAY, while a server that shuts down in good order still answers the calls it has begun, and it costs
a load generator several times the processor time. Source: RFC 9113.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGEST_WINDOW = (1 << 31) - 1
_WINDOW = 65_535
_MAX_FRAME = 16_384
_MAX_BLOCK = 1 << 18
_REFILL = 1 << 29
_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _UPDATE, _MORE = range(10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _WITH_PRIORITY = 1, 1, 4, 8, 32
_ENABLE_PUSH, _INITIAL_WINDOW, _FRAME_SIZE = 2, 4, 5
_HEAD = Struct(">HBBBI")  # length (16 and 8 bits), type, flags, stream
_SETTING = Struct(">HI")
_MEMORY = 64
Fields = dict[bytes, bytes]


class NotHttp2Error(Exception):
    """What came breaks the rules of HTTP/2; `seen` is how the connection began, where it never was HTTP/2."""

    def __init__(self, reason: str, seen: bytes = b"") -> None:
        super().__init__(reason)
        self.seen = seen


@dataclass(slots=True)
class Part:
    """A part of the answer to the call in progress: its head, bytes of messages, or its end.

    `end` with neither `reset` nor `refused` = it is whole, and `trailers` are its last headers (those of the head where
    it consists of nothing else). `reset` = the server broke it off with that error code; `refused` = a server that
    shuts down never began it.
    """

    head: Fields | None = None
    data: bytes = b""
    end: bool = False
    trailers: Fields = field(default_factory=dict)
    reset: int | None = None
    refused: bool = False


def frame(message: bytes) -> bytes:
    """A message as gRPC sends it: a flag (not compressed), its length, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """(flag, message) of each in `body`; ValueError where the last is cut."""
    found, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at + 1 : at + 5], "big")
        if len(body) < at + 5 + size:
            raise ValueError("a message that breaks off")
        found.append((body[at], body[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Headers as literals that no table keeps: blocks can be joined, and secrets stay out of shared compression."""
    parts: list[bytes] = []
    for name, value in fields:
        for text in (name.lower().encode("latin-1"), value.encode("latin-1")):
            parts.append((b"\x10" if len(parts) % 2 == 0 else b"") + _length(len(text)) + text)
    return b"".join(parts)


def call_fields(scheme: str, authority: str, path: str, extra: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a call; those of `extra` come last."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]


class Session:
    """The state of one connection. `ready` once the server's settings have come; `closing` after its GOAWAY."""

    def __init__(self) -> None:
        from hpack import Decoder

        self.ready = False
        self.closing = False
        self._decoder: Any = Decoder(max_header_list_size=_MAX_BLOCK)
        self._known: dict[bytes, Fields] = {}
        self._buffer = b""
        self._block: bytes | None = None  # headers whose end has not come
        self._block_flags = self._block_stream = 0
        self._stream = -1
        self._next = 1
        self._over = True
        self._headed = False
        self._left = memoryview(b"")
        self._window = self._stream_window = self._initial = _WINDOW
        self._frame_size = _MAX_FRAME
        self._consumed = 0

    @property
    def unsent(self) -> bool:
        """Does the server's flow control hold back a part of the request?"""
        return len(self._left) > 0

    @property
    def spent(self) -> bool:
        """True when no further call may be made on this connection."""
        return self.closing or self._next > _LARGEST_WINDOW

    def start(self) -> bytes:
        """The first bytes of a connection: no pushes, and windows so large that they never hold an answer back."""
        settings = _SETTING.pack(_ENABLE_PUSH, 0) + _SETTING.pack(_INITIAL_WINDOW, _LARGEST_WINDOW)
        return PREFACE + _frame(_SETTINGS, 0, 0, settings) + _update(_LARGEST_WINDOW - _WINDOW)

    def call(self, fields: bytes, body: bytes) -> bytes:
        """Begin a call with these headers, as `block` makes them, and as much of `body` as the server takes now.

        What it does not take comes from `receive` later.
        """
        self._stream, self._next = self._next, self._next + 2
        self._over = self._headed = False
        self._stream_window = self._initial
        self._left = memoryview(body)
        size = self._frame_size
        first = _frame(_HEADERS, _END_HEADERS if len(fields) <= size else 0, self._stream, fields[:size])
        for at in range(size, len(fields), size):
            last = at + size >= len(fields)
            first += _frame(_MORE, _END_HEADERS if last else 0, self._stream, fields[at : at + size])
        return first + self._push()

    def receive(self, data: bytes) -> tuple[list[Part], bytes]:
        """What arrived for the call in progress, and the bytes to send in turn; :class:`NotHttp2Error`."""
        parts: list[Part] = []
        out = b""
        data = self._buffer + data if self._buffer else data
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > _MAX_FRAME or (not self.ready and kind != _SETTINGS):
                reason = "a frame that is too large" if self.ready else "no HTTP/2 settings at the start"
                raise NotHttp2Error(reason, b"" if self.ready else data[at : at + 64])
            if end - at < 9 + size:
                break
            payload = data[at + 9 : at + 9 + size]
            at += 9 + size
            if self._block is not None and kind != _MORE:
                raise NotHttp2Error("headers that break off")
            if kind == _DATA:
                self._consumed += size
                self._data(stream, flags, payload, parts)
            elif kind in (_HEADERS, _MORE):
                self._headers(kind, stream, flags, payload, parts)
            elif kind == _SETTINGS:
                out += self._settings(flags, payload)
            elif kind == _PING:
                out += b"" if flags & _ACK else _frame(_PING, _ACK, 0, payload)
            elif kind == _UPDATE:
                out += self._updated(stream, payload)
            elif kind == _RST and stream == self._stream and not self._over:
                self._end(parts, Part(end=True, reset=int.from_bytes(payload, "big")))
            elif kind == _GOAWAY:
                self.closing = True
                if not self._over and self._stream > int.from_bytes(payload[:4], "big") & _LARGEST_WINDOW:
                    self._end(parts, Part(end=True, refused=True))
            elif kind == _PUSH:
                raise NotHttp2Error("a push, though pushes are off")
        if not self.ready and end - at >= 4 and data[at + 3] != _SETTINGS:
            raise NotHttp2Error("no HTTP/2 settings at the start", data[:64])
        self._buffer = data[at:]
        if self._consumed > _REFILL:
            out += _update(self._consumed)
            self._consumed = 0
        return parts, out

    def _data(self, stream: int, flags: int, payload: bytes, parts: list[Part]) -> None:
        if stream != self._stream or self._over:
            return  # of a call that was given up
        if not self._headed:
            raise NotHttp2Error("data before headers")
        body = _unpadded(payload, flags)
        if body:
            parts.append(Part(data=body))
        if flags & _END_STREAM:
            self._end(parts, Part(end=True))

    def _headers(self, kind: int, stream: int, flags: int, payload: bytes, parts: list[Part]) -> None:
        if kind == _HEADERS:
            payload = _unpadded(payload, flags)
            self._block = payload[5:] if flags & _WITH_PRIORITY else payload
            self._block_flags, self._block_stream = flags, stream
        elif self._block is None or stream != self._block_stream:
            raise NotHttp2Error("a continuation of nothing")
        else:
            self._block += payload
        if len(self._block) > _MAX_BLOCK:
            raise NotHttp2Error("headers without an end")
        if not flags & _END_HEADERS:
            return
        fields, self._block = self._decode(self._block), None
        if stream != self._stream or self._over:
            return
        ends = bool(self._block_flags & _END_STREAM)
        if not self._headed:
            if fields.get(b":status", b"")[:1] == b"1":
                return  # an interim answer
            self._headed = True
            parts.append(Part(head=fields))
        elif not ends:
            raise NotHttp2Error("trailers that are not the end")
        if ends:
            self._end(parts, Part(end=True, trailers=fields))

    def _decode(self, content: bytes) -> Fields:
        """The fields of a header block. One that changes no table and was seen before says the same again."""
        known = self._known.get(content)
        if known is not None:
            return known
        from hpack.exceptions import HPACKError

        entries = self._decoder.header_table.dynamic_entries
        newest = entries[0] if entries else None
        try:
            fields = {bytes(name): bytes(value) for name, value in self._decoder.decode(content, raw=True)}
        except (HPACKError, IndexError, ValueError) as error:
            raise NotHttp2Error(f"headers that cannot be read: {error}") from None
        if (entries[0] if entries else None) is not newest or len(self._known) >= _MEMORY:
            self._known.clear()
        elif content[:1] and content[0] & 0xE0 != 0x20:  # no change of the table's size either
            self._known[content] = fields
        return fields

    def _end(self, parts: list[Part], part: Part) -> None:
        self._over = True
        if not (self.unsent and part.reset is None and not part.refused):
            self._left = memoryview(b"")
        parts.append(part)

    def _settings(self, flags: int, payload: bytes) -> bytes:
        if flags & _ACK:
            return b""
        self.ready = True
        if len(payload) % 6:
            raise NotHttp2Error("settings of odd length")
        for name, value in _SETTING.iter_unpack(payload):
            if name == _INITIAL_WINDOW:
                self._stream_window += value - self._initial
                self._initial = value
            elif name == _FRAME_SIZE:
                self._frame_size = max(_MAX_FRAME, min(value, 1 << 20))
        return _frame(_SETTINGS, _ACK, 0, b"") + self._push()

    def _updated(self, stream: int, payload: bytes) -> bytes:
        more = int.from_bytes(payload, "big") & _LARGEST_WINDOW
        if stream == 0:
            self._window += more
        elif stream == self._stream:
            self._stream_window += more
        return self._push()

    def _push(self) -> bytes:
        """The frames of what is left of the request, as far as both windows reach."""
        left = self._left
        if not left or self._over:
            return b""
        parts = []
        while left and (room := min(self._window, self._stream_window, self._frame_size)) > 0:
            piece = left[:room]
            left = left[room:]
            self._window -= len(piece)
            self._stream_window -= len(piece)
            parts.append(_frame(_DATA, 0 if left else _END_STREAM, self._stream, piece))
        self._left = left
        return b"".join(parts)


def _frame(kind: int, flags: int, stream: int, payload: bytes | memoryview) -> bytes:
    size = len(payload)
    return b"%s%s" % (_HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream), payload)


def _update(more: int) -> bytes:
    return _frame(_UPDATE, 0, 0, more.to_bytes(4, "big"))


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise NotHttp2Error("more padding than frame")
    return payload[1 : len(payload) - payload[0]]


def _length(size: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if size < 127:
        return bytes((size,))
    size -= 127
    out = [127]
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes((*out, size))

"""Answers whose framing is known: a head that was parsed once need not be parsed again."""

from __future__ import annotations

_MOST = 256  # sizes of answer; a service whose sizes vary more gains nothing here


def learn(known: dict[int, bytes], answer: bytes) -> None:
    """Remember the head of a 2xx answer that the parser found whole, alone, and followed by a kept connection.

    Another answer of this size that begins with the same bytes is whole as well: the head states the body's length.
    That does not hold for chunked bodies, whose end is in the body; their heads are not remembered.
    """
    head, end, _ = answer.partition(b"\r\n\r\n")
    fields = head.lower()
    if answer[9:10] != b"2" or b"\ncontent-length:" not in fields or b"transfer-encoding" in fields:
        return
    if len(known) >= _MOST:
        known.clear()
    known[len(answer)] = head + end

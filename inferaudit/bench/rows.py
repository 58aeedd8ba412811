"""Decoded requests into columns: what is kept of each, and the count table of ITL of the stage."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import islice
from operator import le, sub

from inferaudit.bench.decode import Response, decode
from inferaudit.bench.protocols import Protocol
from inferaudit.bench.raw import Raw
from inferaudit.latency import percentile
from inferaudit.records import ABSENT, COLUMNS, RecordTable, reordered


class RowSink:
    """Collects the rows of one stage in one worker. `keep_tokens` keeps every arrival as well."""

    def __init__(self, stage: str, worker: int, protocol: Protocol, stream: bool, keep_tokens: bool) -> None:
        self.stage = stage
        self.worker = worker
        self.protocol = protocol
        self.stream = stream
        self.columns: dict[str, array[int]] = {name: array("q") for name in COLUMNS}
        self.errors: list[str] = [""]
        self.itl_us: Counter[int] = Counter()
        self.tokens: array[int] | None = array("q") if keep_tokens else None
        self.offsets: array[int] = array("q")
        self._appends = [column.append for column in self.columns.values()]
        self._same: tuple[bytes, Response] | None = None

    def add(self, raw: Raw) -> None:
        """Decode one request and keep its row. Small models give the same answer again and again: it is read once."""
        if len(raw) != 5 or self.stream:
            self._append(decode(raw, self.protocol, self.stream))
            return
        number, scheduled, sent, end, answer = raw
        if self._same is not None and answer == self._same[0]:
            response = self._same[1]
            response.number, response.scheduled, response.sent = number, scheduled, sent
            response.first_byte = response.end = end
        else:
            response = decode(raw, self.protocol, self.stream)
            # A date of Retry-After is counted from the answer's end; else nothing but these hangs on when it came.
            self._same = (answer, response) if response.error is None else None
        self._append(response)

    def table(self) -> RecordTable:
        """What was collected, by request number."""
        self._sort()
        return RecordTable(
            stages=(self.stage,),
            errors=tuple(self.errors),
            columns=self.columns,
            itl_us={self.stage: [list(pair) for pair in sorted(self.itl_us.items())]},
            tokens=() if self.tokens is None else self.tokens,
            token_offsets=self.offsets if self.tokens is not None else (),
        )

    def _sort(self) -> None:
        numbers = self.columns["number"]
        if all(map(le, numbers, islice(numbers, 1, None))):
            return
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        if self.tokens is not None:
            tokens, ends = self.tokens, [*self.offsets[1:], len(self.tokens)]
            self.tokens, self.offsets, offsets = array("q"), array("q"), self.offsets
            for at in order:
                self.offsets.append(len(self.tokens))
                self.tokens.extend(tokens[offsets[at] : ends[at]])
        self._appends.clear()  # they hold the columns, and a long run's are hundreds of MB: one is doubled at a time
        for name, column in self.columns.items():
            self.columns[name] = reordered(column, order)

    def _append(self, response: Response) -> list[int]:
        """Keep one row; its ITL gaps in ns."""
        stamps = response.tokens
        ok = response.error is None
        gaps = _gaps(stamps) if ok and stamps else []
        median, tail, longest = None, None, None
        if gaps:
            self.itl_us.update([(gap + 500) // 1000 for gap in gaps])
            ordered = sorted(gaps)
            median, tail, longest = percentile(ordered, 50), percentile(ordered, 99), ordered[-1]
        sent, first, connect = response.sent, response.first_byte, response.connect
        row = (
            0,
            response.number,
            self.worker,
            response.scheduled,
            ABSENT if sent is None else sent,
            ABSENT if first is None else first,
            stamps[0][0] if stamps else ABSENT,
            stamps[-1][0] if stamps else ABSENT,
            response.end,
            len(stamps),
            _or_absent(response.input_tokens),
            _or_absent(response.output_tokens),
            _or_absent(response.cached_tokens),
            int(response.stated),
            _or_absent(response.status),
            0 if ok else self._error(response.error or ""),
            ABSENT if connect is None else connect,
            _or_absent(median),
            _or_absent(tail),
            _or_absent(longest),
            response.size,
            _or_absent(response.retry_after),
        )
        for append, value in zip(self._appends, row, strict=True):
            append(value)
        if self.tokens is not None:
            self.offsets.append(len(self.tokens))
            self.tokens.extend(stamp for stamp, _ in stamps)
        return gaps

    def _error(self, name: str) -> int:
        if name not in self.errors:
            self.errors.append(name)
        return self.errors.index(name)


def _gaps(stamps: list[tuple[int, int]]) -> list[int]:
    """ITL of one request: each gap between token events once, and n−1 zeros where the server states n tokens."""
    times, counts = zip(*stamps, strict=True)
    if max(counts) <= 1:
        return list(map(sub, times[1:], times))
    gaps = [0] * (max(1, counts[0]) - 1)
    for before, now, count in zip(times, times[1:], counts[1:], strict=False):
        gaps.append(now - before)
        gaps.extend([0] * (count - 1))
    return gaps


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else value

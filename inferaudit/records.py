"""Request records in columns: integers only, exact to merge, readable by numpy without us.

The file is an NPZ: a zip of ``.npy`` arrays (numpy's documented format, version 1.0) and one ``meta.json``. Absent
values are -1. The columns stand in `COLUMNS`; docs/records.md describes them.
"""

from __future__ import annotations

import ast
import io
import json
import sys
import zipfile
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

ABSENT = -1

# Name → what it holds. Times are CLOCK_REALTIME nanoseconds since the epoch, the run's one clock.
COLUMNS: Mapping[str, str] = {
    "stage": "index into meta.stages",
    "number": "request number within the stage",
    "worker": "which worker process sent it",
    "scheduled_ns": "when it was due (open loop) or its stream became free (closed loop)",
    "sent_ns": "just before its first byte was handed to the kernel",
    "first_byte_ns": "arrival of the first byte of the answer",
    "first_token_ns": "arrival of the first token event",
    "last_token_ns": "arrival of the last token event",
    "end_ns": "arrival of the last body byte, or when it was given up",
    "token_events": "events with content",
    "input_tokens": "as the server's usage says",
    "output_tokens": "as the server's usage says, else counted from events",
    "cached_tokens": "prompt tokens answered from a prefix cache, as the server says",
    "stated": "1 when output_tokens is the server's own figure",
    "status": "HTTP status",
    "error": "index into meta.errors: 0 is success",
    "connect_ns": "time to open the connection this request was the first on",
    "itl_p50_ns": "median gap between this request's tokens",
    "itl_p99_ns": "99th percentile of them",
    "itl_max_ns": "the longest of them",
    "bytes": "bytes of the answer",
    "retry_after_s": "seconds until the client may ask again, as a failed answer's Retry-After says",
}
_ORDER = ("stage", "number", "worker", "scheduled_ns")
_LATER = frozenset(("retry_after_s",))  # columns that files of earlier versions lack
_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_MEMBER_BYTES = 2 << 30


@dataclass(frozen=True)
class RecordTable:
    """Rows of requests in columns, and for each stage the count table of ITL in microseconds.

    `tokens` holds every token arrival (ns) of the rows in their order and `token_offsets` where each row's begin;
    both are empty unless arrivals were kept.
    """

    stages: tuple[str, ...]
    errors: tuple[str, ...]
    columns: Mapping[str, Sequence[int]]
    itl_us: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    tokens: Sequence[int] = ()
    token_offsets: Sequence[int] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["number"])

    def stage_rows(self, name: str) -> Sequence[int]:
        """Positions of the rows of one stage."""
        wanted = self.stages.index(name)
        if len(self.stages) == 1:
            return range(len(self))
        return [i for i, stage in enumerate(self.columns["stage"]) if stage == wanted]

    def answered_rows(self, name: str) -> Sequence[int]:
        """Those of them that succeeded. Mostly all did, and a long run has millions of them: then no list is made."""
        rows, errors = self.stage_rows(name), self.columns["error"]
        return [i for i in rows if not errors[i]] if any(errors) else rows


# What reading a damaged zip, or one that somebody else packed, ends in.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError, TypeError,
           AttributeError, IndexError, SyntaxError, json.JSONDecodeError)  # fmt: skip


def to_npz(table: RecordTable) -> bytes:
    """The file's bytes: a pure function of the table."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _members(table):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def from_npz(content: bytes) -> RecordTable:
    """Read a records file back; ValueError says what is wrong with it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        if any(info.file_size > _MAX_MEMBER_BYTES for info in archive.infolist()):
            raise ValueError("a member of the records file is larger than 2 GiB")
        meta = json.loads(archive.read("meta.json"))
        names = set(archive.namelist())
        kept = [name for name in COLUMNS if name not in _LATER or f"{name}.npy" in names]
        columns = {name: _read_npy(archive.read(f"{name}.npy")) for name in kept}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError("the columns differ in length")
        for name, known in (("stage", meta["stages"]), ("error", meta["errors"])):
            if any(not 0 <= index < len(known) for index in set(columns[name])):
                raise ValueError(f"the column {name} names what meta.json does not")
        return RecordTable(
            stages=tuple(meta["stages"]),
            errors=tuple(meta["errors"]),
            columns=columns,
            itl_us={
                name: [list(pair) for pair in zip(*(_read_npy(archive.read(f"itl_us/{i}/{part}.npy"))
                                                    for part in ("value", "count")), strict=True)]
                for i, name in enumerate(meta["stages"])
                if f"itl_us/{i}/value.npy" in names
            },
            tokens=_read_npy(archive.read("token_ns.npy")) if "token_ns.npy" in names else (),
            token_offsets=_read_npy(archive.read("token_offset.npy")) if "token_offset.npy" in names else (),
            meta=meta.get("more", {}),
        )  # fmt: skip
    except _DAMAGE as error:
        raise ValueError(f"not a records file: {error}") from error


def merge(tables: Sequence[RecordTable]) -> RecordTable:
    """One table of several, ordered by stage and request number: the same in whatever order they come.

    Column by column, for a long run has millions of cells; a table that is as it should be is given back itself.
    """
    from inferaudit.latency import merge_tables

    stages = tuple(dict.fromkeys(name for table in tables for name in table.stages))
    errors = tuple(dict.fromkeys(["", *sorted({e for table in tables for e in table.errors if e})]))
    if len(tables) == 1 and tables[0].errors == errors and _in_order(tables[0].columns):
        return tables[0]
    columns = {name: array("q") for name in COLUMNS}
    for table in tables:
        maps = {
            "stage": [stages.index(name) for name in table.stages],
            "error": [errors.index(name) for name in table.errors],
        }
        for name, column in columns.items():
            values = table.columns[name]
            column.extend(map(maps[name].__getitem__, values) if name in maps else values)
    order: Sequence[int] = range(len(columns["number"]))
    if not _in_order(columns):
        for name in reversed(_ORDER):  # each sort keeps the order of the one before among equals
            order = sorted(order, key=columns[name].__getitem__)
        for name, column in columns.items():
            columns[name] = reordered(column, order)
    tokens, offsets = array("q"), array("q")
    if any(len(table.token_offsets) for table in tables):
        places = [(table, at) for table in tables for at in range(len(table))]
        for table, at in map(places.__getitem__, order):
            offsets.append(len(tokens))
            tokens.extend(row_tokens(table, at))
    return RecordTable(
        stages=stages,
        errors=errors,
        columns=columns,
        itl_us={name: merge_tables(t.itl_us[name] for t in tables if name in t.itl_us) for name in stages},
        tokens=tokens,
        token_offsets=offsets,
        meta={key: value for table in tables for key, value in table.meta.items()},
    )


def _in_order(columns: Mapping[str, Sequence[int]]) -> bool:
    return all(before <= after for before, after in pairwise(zip(*(columns[name] for name in _ORDER), strict=True)))


def reordered(column: array[int], order: Iterable[int]) -> array[int]:
    """The cells in another order; the column itself where all are alike, as in most columns of most runs."""
    if not column or column.count(column[0]) == len(column):
        return column
    return array("q", map(column.__getitem__, order))


def row_tokens(table: RecordTable, at: int) -> Sequence[int]:
    """The token arrivals of one row."""
    if not len(table.token_offsets):
        return ()
    end = table.token_offsets[at + 1] if at + 1 < len(table.token_offsets) else len(table.tokens)
    return table.tokens[table.token_offsets[at] : end]


def _members(table: RecordTable) -> Iterator[tuple[str, bytes]]:
    meta = {"format": "inferaudit.records/v1", "stages": table.stages, "errors": table.errors, "columns": COLUMNS,
            "more": table.meta}  # fmt: skip
    yield "meta.json", json.dumps(meta, indent=1, sort_keys=True).encode()
    for name in COLUMNS:
        if name in table.columns or name not in _LATER:
            yield f"{name}.npy", _npy(table.columns[name])
    for number, name in enumerate(table.stages):
        pairs = table.itl_us.get(name, ())
        if pairs:
            yield f"itl_us/{number}/value.npy", _npy([p[0] for p in pairs])
            yield f"itl_us/{number}/count.npy", _npy([p[1] for p in pairs])
    if len(table.token_offsets):
        yield "token_ns.npy", _npy(table.tokens)
        yield "token_offset.npy", _npy(table.token_offsets)


def _npy(values: Iterable[int]) -> bytes:
    data = values if isinstance(values, array) else array("q", values)
    if sys.byteorder == "big":
        data = array("q", data)
        data.byteswap()
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(data)},), }}".encode()
    header += b" " * (-(len(_MAGIC) + 2 + len(header) + 1) % 64) + b"\n"
    return _MAGIC + len(header).to_bytes(2, "little") + header + data.tobytes()


def _read_npy(content: bytes) -> Sequence[int]:
    if content[:6] != _MAGIC[:6] or content[6] not in (1, 2):
        raise ValueError("an array of the records file is not in the npy format")
    wide = 2 if content[6] == 1 else 4
    start = 8 + wide
    length = int.from_bytes(content[8:start], "little")
    header = ast.literal_eval(content[start : start + length].decode("latin-1").strip())
    if header["descr"] != "<i8" or len(header["shape"]) != 1:
        raise ValueError("a column of the records file does not hold 64-bit integers")
    data = array("q")
    data.frombytes(content[start + length : start + length + 8 * header["shape"][0]])
    if len(data) != header["shape"][0]:
        raise ValueError("a column of the records file is cut short")
    if sys.byteorder == "big":
        data.byteswap()
    return data

"""Stored runs: one row a run, in SQLite in the user's state folder, or in PostgreSQL where several people share it.

Nothing is stored unless it is asked for. A row holds key figures and digests; it holds no evidence and no secret.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from inferaudit.errors import UsageError
from inferaudit.model import Fact, FactError, FactErrorKind, Report
from inferaudit.trend import KEPT, Run, run_of

FILE = "history.sqlite"
_BUSY_S = 10.0
_POSTGRES = ("postgresql", "postgres")

_TYPES = {int: "INTEGER", float: "DOUBLE PRECISION", str: "TEXT"}
_COLUMNS = {
    field.name: _TYPES[
        next(t for t in (int, float, str) if t in (getattr(field.type, "__args__", ()) or (field.type,)))
    ]
    for field in msgspec.structs.fields(Run)
}


class _Store:
    """An open database; `?` stands for a value in both dialects."""

    def __init__(self, connection: Any, name: str, errors: type[Exception], mark: str) -> None:
        self._connection = connection
        self._name = name
        self._errors = errors
        self._mark = mark

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, or none of a statement."""
        try:
            cursor = self._connection.execute(sql.replace("?", self._mark), tuple(values))
            return list(cursor.fetchall()) if cursor.description else []
        except self._errors as error:
            raise UsageError(f"the history {self._name} cannot be used: {_one_line(error)}") from error

    def columns(self) -> set[str]:
        """Names of the columns that the table has."""
        try:
            return {column[0] for column in self._connection.execute("SELECT * FROM runs LIMIT 0").description}
        except self._errors as error:
            raise UsageError(f"the history {self._name} cannot be used: {_one_line(error)}") from error

    def changed(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows a statement touched."""
        try:
            return int(self._connection.execute(sql.replace("?", self._mark), tuple(values)).rowcount)
        except self._errors as error:
            raise UsageError(f"the history {self._name} cannot be used: {_one_line(error)}") from error

    def finish(self) -> None:
        """Keep what was written."""
        try:
            self._connection.commit()
        except self._errors as error:
            raise UsageError(f"the history {self._name} cannot be written: {_one_line(error)}") from error

    def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(self._errors):
            self._connection.close()


def default_store() -> Path:
    """Where runs are kept without ``--store``: the user's state folder."""
    import platformdirs

    return platformdirs.user_state_path("inferaudit") / FILE


def store_report(report: Report, url: str = "") -> tuple[Run, bool]:
    """Store a report's key figures; the row, and False where that very run was stored before.

    `url` is a folder, ``sqlite:///path``, ``postgresql://…``, or empty for the user's state folder.
    """
    run = run_of(report.data)
    row = msgspec.to_builtins(run)
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    with _open(url, create=True) as store:
        added = store.changed(
            f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",  # noqa: S608  # our own names
            list(row.values()),
        )
        store.finish()
    return run, added == 1


def stored_runs(url: str = "", *, service: str = "") -> list[Run]:
    """All runs, or those of one service, oldest first; none where nothing was ever stored."""
    with _open(url, create=False) as store:
        if store is None:
            return []
        wanted, values = (" WHERE service = ?", [service]) if service else ("", [])
        names = ", ".join(_COLUMNS)
        rows = store.ask(f"SELECT {names} FROM runs{wanted} ORDER BY collected_at, id", values)  # noqa: S608
    return [msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), Run) for row in rows]


def history_facts(url: str | None, service: str = "") -> dict[str, Fact]:
    """The fact ``process.history``: the newest stored runs of `service`, oldest first; None = no store was given."""
    if url is None:
        error = FactError(
            FactErrorKind.NOT_ASKED, "no history of runs was given", source="history", remedy="keep one with --store"
        )
        return {"process.history": Fact(error=error)}
    return {"process.history": Fact(stored_runs(url, service=service)[-KEPT:])}


def stored_run(url: str, run_id: str) -> Run:
    """The run whose id begins with `run_id`; :class:`UsageError` when there is none, or several."""
    found = [run for run in stored_runs(url) if run.id.startswith(run_id)]
    if len(found) != 1:
        what = "no run" if not found else f"{len(found)} runs"
        raise UsageError(f"the history has {what} whose id begins with {run_id!r}; see `inferaudit history list`")
    return found[0]


def prune(url: str, keep: int, *, service: str = "") -> int:
    """Delete all but the newest `keep` runs of each service (or of one); how many were deleted."""
    if keep < 0:
        raise UsageError("--keep is a number of runs, 0 or more")
    kept: dict[str, int] = {}
    deleted = 0
    with _open(url, create=False) as store:
        if store is None:
            return 0
        wanted, values = (" WHERE service = ?", [service]) if service else ("", [])
        rows = store.ask(f"SELECT id, service FROM runs{wanted} ORDER BY collected_at DESC, id DESC", values)  # noqa: S608
        for run_id, name in rows:
            kept[name] = kept.get(name, 0) + 1
            if kept[name] > keep:
                deleted += store.changed("DELETE FROM runs WHERE id = ?", [run_id])
        store.finish()
    return deleted


@contextlib.contextmanager
def _open(url: str, *, create: bool) -> Iterator[Any]:
    """The store behind `url`; None where it does not exist and `create` is False."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in _POSTGRES:
        store = _postgres(url)
    elif scheme in ("", "sqlite"):
        path = _path(url)
        if not create and not path.exists():
            yield None
            return
        store = _sqlite(path)
    else:
        raise UsageError(f"--store {scheme}://…: a folder, sqlite:///PATH or postgresql://…")
    try:
        _prepare(store)
        yield store
    finally:
        store.close()


def _prepare(store: _Store) -> None:
    """The table with all columns; one that an older version made gets those that came later."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items() if name != "id")
    store.ask(f"CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, {columns})")
    there = store.columns()
    for name, kind in _COLUMNS.items():
        if name not in there:
            store.ask(f"ALTER TABLE runs ADD COLUMN {name} {kind}")


def _path(url: str) -> Path:
    if not url:
        return default_store()
    if not url.startswith("sqlite://"):
        return Path(url).expanduser() / FILE
    text = unquote(url.removeprefix("sqlite://"))
    if not text.startswith("/") or not text.strip("/"):
        raise UsageError("--store sqlite://…: an absolute path, for example sqlite:///var/lib/audits.sqlite")
    return Path("/" + text.lstrip("/"))


def _sqlite(path: Path) -> _Store:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # its owner alone reads it
        os.close(descriptor)
        connection = sqlite3.connect(path, timeout=_BUSY_S)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"the history {path} cannot be opened: {_one_line(error)}") from error
    return _Store(connection, str(path), sqlite3.Error, "?")


def _postgres(url: str) -> _Store:
    parts = urlsplit(url)
    name = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # without user and password
    try:
        import psycopg  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UsageError(f"--store {name} needs psycopg; install it with: pip install 'psycopg[binary]'") from None
    try:
        connection = psycopg.connect(url, connect_timeout=int(_BUSY_S))
    except psycopg.Error as error:
        raise UsageError(f"the history {name} cannot be opened: {type(error).__name__}") from error
    return _Store(connection, name, cast("type[Exception]", psycopg.Error), "%s")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Where reports go: several formats in one run, stdout for at most one, one verdict line always on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferaudit.errors import UsageError
from inferaudit.model import Report, Verdict
from inferaudit.units import whole_number
from inferaudit.whole_file import write_whole

EXIT_CODES = {Verdict.GO: 0, Verdict.NO_GO: 1, Verdict.INCOMPLETE: 3}


@dataclass(frozen=True, slots=True)
class Output:
    """A format and where it goes; None is stdout."""

    format: str
    path: Path | None


def parse_outputs(values: Sequence[str] | None, *, default: str = "terminal") -> tuple[Output, ...]:
    """``-o FORMAT[=PATH]``…; without any the terminal's. Two on stdout cannot be told apart: a usage error."""
    from inferaudit.near_words import suggest
    from inferaudit.render import FORMATS

    outputs = []
    for value in values or (default,):
        name, equals, path = value.partition("=")
        if name not in FORMATS:
            raise UsageError(
                f"-o {value!r}: no format is called {name!r}{suggest(name, FORMATS)}; known are {', '.join(FORMATS)}"
            )
        if equals and not path:
            raise UsageError(f"-o {value!r}: give a path after the =, or leave it out for stdout")
        outputs.append(Output(name, Path(path) if path not in ("", "-", "/dev/stdout") else None))
    if sum(o.path is None for o in outputs) > 1:
        raise UsageError("two outputs on stdout; give all but one a path, for example -o json=report.json")
    for output in outputs:
        if output.path:
            refuse_unwritable(output.path)
    refuse_twice([o.path for o in outputs if o.path])
    return tuple(outputs)


def refuse_twice(paths: Sequence[Path]) -> None:
    """:class:`UsageError` where two outputs would be one file."""
    files = [path.resolve() for path in paths if not _is_device(path)]
    for file in files:
        if files.count(file) > 1:
            raise UsageError(f"two outputs to {file}; the second would replace the first")


def _is_device(path: Path) -> bool:
    """Something that keeps nothing, such as ``/dev/null``, or hands on what it gets."""
    return path.exists() and not path.is_file()


def refuse_unwritable(path: Path) -> None:
    """:class:`UsageError` for a place that cannot take a file, before there is anything that could be lost."""
    try:
        why = _unwritable(path)
    except OSError as error:  # a name too long
        why = error.errno or errno.EIO
    if why:
        raise UsageError(f"cannot write {path}: {os.strerror(why)}")


def _unwritable(path: Path) -> int:
    """The error that writing `path` would end in, as far as can be told without writing; 0 for none."""
    if path.is_dir():
        return errno.EISDIR
    if _is_device(path):
        return 0
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return errno.ENOTDIR
    return 0 if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES


def deliver(report: Report, outputs: Sequence[Output]) -> None:
    """Render and write every output, files first; a file is replaced whole or not at all.

    What cannot be written keeps none of the others from it: :class:`UsageError` has a line for each, at the end.
    """
    from inferaudit.render import render

    faults = []
    for output in sorted(outputs, key=lambda output: output.path is None):
        if output.path is None:
            text = render(report, output.format, width=_width(), color=_color(), unicode=_unicode())
            print_text(text if text.endswith("\n") else text + "\n", people=output.format == "terminal")
            continue
        try:
            write_text(output.path, render(report, output.format))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))


def print_text(text: str, *, people: bool) -> None:
    """Write to stdout; UTF-8 whatever the locale, unless it is for `people` to read there.

    A reader who has seen enough (``| head``) is no error, and changes no exit code. UsageError for a full disk.
    """
    try:
        if people:
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
    except OSError as error:
        drop_stdout()
        raise UsageError(f"cannot write to stdout: {error.strerror}") from error


def drop_stdout() -> None:
    """What is still to be written goes nowhere, at the interpreter's end as well."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, folders made; :class:`UsageError` when the system refuses."""
    try:
        write_whole(path, text.encode("utf-8"))
    except BrokenPipeError:
        return  # a pipe whose reader has seen enough
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def verdict_line(report: Report) -> str:
    """The verdict in one line, for stderr and logs."""
    summary = report.data["summary"]
    counts = ", ".join(f"{summary[key]} {key.replace('_', ' ')}" for key in ("fail", "unknown", "review", "pass"))
    return f"inferaudit: {report.verdict.value.replace('_', '-')} ({counts}). {report.data['reasons'][0]}"


def _width() -> int:
    return whole_number(os.environ.get("COLUMNS", "")) or shutil.get_terminal_size((100, 24)).columns


def _unicode() -> bool:
    """Can stdout show more than ASCII?"""
    try:
        "✓→".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _color() -> bool:
    """Colour on a terminal, unless NO_COLOR is set (https://no-color.org) or the terminal is dumb."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

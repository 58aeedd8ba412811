"""The entry point: verbs loaded on demand, errors as one line each, exit codes.

A verb is a module of this package with a Typer app called ``app``; only the one that is called is imported, so that
``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from inferaudit import __version__
from inferaudit.errors import InferauditError

# Verb → what it does, in the order of ``--help``. A test holds it against the modules.
VERBS = {
    "run": "Audit a service: collect, load, judge, report. The main job.",
    "collect": "Collect facts into a snapshot file, and judge nothing.",
    "evaluate": "Judge a snapshot offline; the same bytes as the run that made it.",
    "render": "Turn a JSON report into any other format.",
    "bench": "Put measured load on an endpoint, alone.",
    "init": "Write a commented inferaudit.yaml from what can be found.",
    "demo": "A full audit of a tiny model on this machine, with nothing set up.",
    "checks": "List, explain and test the checks.",
    "generate": "Write the JSON Schemas, the RBAC rules and other files.",
    "diff": "Compare two reports: new, fixed and changed findings, and performance.",
    "history": "Show trends over stored runs.",
    "cost": "Cost per request, per token and per month.",
    "capacity": "Will this model fit these GPUs, and for how many at once?",
    "sample-size": "How many requests an A/B test needs.",
}

EPILOG = """Examples:

  inferaudit run -n llm-prod --workload deployment/chat --url https://chat.example.com --load sla

  helm template chat ./chart | inferaudit run --manifests - --scope manifests

  inferaudit run --url http://127.0.0.1:8000 --slo ttft_p99=500ms --load sla --scope endpoint,load

Exit codes: 0 GO · 1 NO_GO · 2 usage or configuration · 3 INCOMPLETE · 130 interrupted
"""


class _Verbs(TyperGroup):
    """A group whose commands are imported when they are called for, and only named where they are listed."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        if self._listing:
            stub = typer.Typer(add_completion=False)
            stub.command(cmd_name, short_help=VERBS[cmd_name], help=VERBS[cmd_name])(lambda: None)
            return typer.main.get_command(stub)
        module = importlib.import_module(f"inferaudit.cli.{cmd_name.replace('-', '_')}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        super().format_help(ctx, formatter)


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    help="May this inference service go live? Audits the cluster, the GPUs, the endpoint and its measured load.",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"inferaudit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run, and leave with the right code: nobody sees a traceback, a bug of ours leaves a log file."""
    _safe_surroundings()
    try:
        code = app(prog_name="inferaudit", standalone_mode=False)
        if code in (130, 143):
            _leave_now(code)
        sys.exit(code)
    except typer.Abort:
        _say("error: nothing was answered")
        sys.exit(2)
    except InferauditError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _report_bug(error)
        from inferaudit.cli.outputs import drop_stdout

        drop_stdout()
        _say(f"error: cannot write: {error.strerror}")
        sys.exit(2)
    except Exception as error:
        if not hasattr(error, "format_message"):
            _report_bug(error)
        _say_usage(error)
        sys.exit(2)


def _say_usage(error: Any) -> None:
    """What the parser of flags refused: one line, and where the flags are told (no private class of Typer's named)."""
    said = error.format_message().partition(", unable to parse")[0].strip().rstrip(".")
    if not said:
        return  # a group without a verb: its help has been printed
    verb = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] in VERBS else ""
    path = getattr(error, "ctx", None)
    command = path.command_path if path else f"inferaudit {verb}".strip()
    _say(f"error: {said[0].lower()}{said[1:]} (see `{command} --help`)")


def _safe_surroundings() -> None:
    """Closed streams (``>&-``) swallow what is said there; a locale without our signs gets question marks.

    Sizes that are no numbers go: libraries read them, and some would end there.
    """
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "0").isdecimal():
            del os.environ[name]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # as long as we run
        elif stream.errors in ("strict", "surrogateescape"):  # the latter in the C locale
            stream.reconfigure(errors="replace")


def _report_bug(error: Exception) -> NoReturn:
    from inferaudit.bug_log import log_bug

    _say(f"error: a bug in inferaudit: {type(error).__name__}; details in {log_bug(error)}. Please report it.")
    sys.exit(70)


def _leave_now(code: int) -> NoReturn:
    """Interrupted, and all is written: leave without waiting for collectors that still wait for an answer."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _say(text: str) -> None:
    from inferaudit.escape import block

    with contextlib.suppress(OSError):
        print(block(text), file=sys.stderr)


if __name__ == "__main__":
    main()

"""The command line: one file per command, nothing heavy imported before a command runs."""

from __future__ import annotations

import os
import sys

import typer

from evenhand.cli import audit, demo, explain, export, fit, list_, locate, plant, read, report, run, spans
from evenhand.core.errors import CannotRun, EvenhandError
from evenhand.core.plugin import told

app = typer.Typer(
    name="evenhand",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
INTERRUPTED = 130


@app.callback()
def top() -> None:
    """Find the parts of a language model that carry a social bias, switch them off, and show what that did.

    Start with `evenhand demo`. Exit codes: 0 fine, 1 a finding over --fail-over, 2 wrong input, 3 could not run,
    130 stopped by you.
    """


app.command("audit")(audit.audit)
app.command("locate")(locate.locate)
app.command("fit")(fit.fit)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("read")(read.read)
app.command("spans")(spans.spans)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("list")(list_.list_)
app.command("demo")(demo.demo)
app.command("plant")(plant.plant)


def main() -> None:
    """Run the command line; mistakes end in one plain sentence on stderr and an exit code, not in a traceback."""
    try:
        app(prog_name="evenhand")  # also names the shell completion, however this was started
    except EvenhandError as error:
        print(f"evenhand: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        # A crash must not end with code 1, which means "a finding over the limit" to whoever runs this in CI.
        if os.environ.get("EVENHAND_DEBUG"):
            raise
        own = (
            f"stopped by an error of its own ({type(error).__name__}: {error}). Finished cells are intact; "
            "set EVENHAND_DEBUG=1 to see where it happened, and please report it"
        )
        print(f"evenhand: {told(error) or own}", file=sys.stderr)
        sys.exit(CannotRun.exit_code)

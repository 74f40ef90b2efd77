"""The same functions from a shell. Results on stdout, logs on stderr; exit 0 fine, 2 bad input."""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

from .errors import WorkbenchError

# A command is a module below ``workbench.commands`` with HELP, add_arguments(parser) and run(args) -> (data, text).
COMMANDS = ("inspect", "measure", "compare", "diff", "apply", "tune", "profile", "sweep", "load", "leak",
            "report", "study", "doctor")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in the one line that every error takes."""

    def error(self, message: str) -> NoReturn:
        raise WorkbenchError(f"{message}; see '{self.prog} --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="workbench", description="Measure and optimize deep-learning inference, honestly.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f"{__package__}.commands.{name}")
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        sub.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        exit code: 0 fine, 2 bad input (one ``error:`` line on stderr), 130 interrupted, 1 a fault of ours;
        a command may define others.
    """
    try:
        args = _parser().parse_args(argv)
        outcome = args.run(args)
        data, text, code = (*outcome, 0)[:3]
        print(_dumps(data) if args.json else text, flush=True)
        return code
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        print(f"error: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]} "
              "(WORKBENCH_DEBUG=1 shows where)", file=sys.stderr)
        return 1


def _dumps(data: Any) -> str:
    from .results_json import plain

    return json.dumps(plain(data), indent=2, allow_nan=False)

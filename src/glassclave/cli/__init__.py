"""The command line: one verb per file, loaded when it is called; the only room that prints."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from typing import Any

import click

from glassclave import __version__
from glassclave.errors import GlassclaveError
from glassclave.escaping import escape_untrusted
from glassclave.report.records import json_text

VERBS = {
    "init": "a workflow, a policy and a text for consumers, for your repository",
    "build": "an enclave image from a container image or a directory",
    "describe": "what an enclave image holds, and its PCRs",
    "sign-eif": "AWS's own signature in an image, with a key of yours",
    "publish": "push an image, sign it, read it back, then move the tag",
    "verify": "judge a published image, and a running enclave's document against it",
    "rebuild": "build a published image again from its commit, and compare",
    "log": "a build's log: kept beside its image, shown, judged",
    "attestation": "read or judge an attestation document",
    "demo": "all of it on this machine, on loopback, with sandbox keys",
    "bootstrap": "the kernel and init that images start with",
    "action": "the steps of the GitHub Action (action.yml)",
}

INTERRUPTED = 130
_OBJECTS_PER_COLLECTION = 20_000
"""Python's own 700 costs an eighth of the time in which `verify` loads all it needs: none is garbage yet."""
_TURN_SECONDS = 0.001
"""How long one thread may keep the interpreter. Python's own 5 ms are more than a decoder takes for a piece,
and then it waits for them: a seventh of the time in which large layers are decoded and merged."""


def _module_of(verb: str) -> str:
    return f"glassclave.cli.{verb.replace('-', '_')}"


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb is called: `--version` and `--help` stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs that this installation has, in the order of a day's work."""
        return [verb for verb in VERBS if importlib.util.find_spec(_module_of(verb))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or ``None`` where there is no such verb."""
        if cmd_name not in VERBS or importlib.util.find_spec(_module_of(cmd_name)) is None:
            return None
        command = importlib.import_module(_module_of(cmd_name)).command
        assert isinstance(command, click.Command)  # noqa: S101 - a programming error, not an input
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with one line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb]) for verb in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="glassclave")
def group() -> None:
    """Enclave images that anyone can see through.

    Exit status: 0 done, or the required level reached; 1 judged and negative; 2 usage; 3 could not judge;
    130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Entry point: the one place that turns errors into messages and exit statuses."""
    words = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *gc.get_threshold()[1:])
    sys.setswitchinterval(_TURN_SECONDS)
    _open_closed_streams()
    try:
        status = group.main(args=words, prog_name="glassclave", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    except click.ClickException as error:
        _say({"code": "usage", "message": error.format_message()}, "--json" in words, error)
        status = 2
    except GlassclaveError as error:
        _say(error_record(error), "--json" in words, None)
        status = error.exit_status
    except OSError as error:
        status = _system_failed(error, "--json" in words)
    except Exception as error:  # noqa: BLE001 - a bug of ours must not pass for a judgement
        status = _bug(error, "--json" in words)
    except SystemExit:
        # click's answer to a reader that went away (`… | head`); its status 1 would say "judged, negative".
        status = 3
    sys.exit(status if isinstance(status, int) else 0)


def _bug(error: Exception, as_json: bool) -> int:
    """What nobody foresaw: where it happened, and status 3, for nothing was judged."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = (
        "" if last is None else f" in {os.path.basename(last.tb_frame.f_code.co_filename)}:{last.tb_lineno}"
    )
    message = f"a fault of this program: {type(error).__name__}{place}: {str(error)[:300]}"
    _say({"code": "internal", "message": message, "hint": "please report it, with the input"}, as_json, None)
    return 3


def _show_usage(usage: click.ClickException) -> None:
    """As click does, but an argument that came from elsewhere (a glob, a script) cannot move the cursor."""
    context = usage.ctx if isinstance(usage, click.UsageError) else None
    if context is None or isinstance(usage, click.exceptions.NoArgsIsHelpError):
        usage.show(file=sys.stderr)
        return
    print(context.get_usage(), file=sys.stderr)
    print(f"Try '{context.command_path} --help' for help.\n", file=sys.stderr)
    print(f"error: {escape_untrusted(usage.format_message())}", file=sys.stderr)


def _open_closed_streams() -> None:
    """A stream that the caller closed (``<&-``) is empty, or leads nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the whole run


def _system_failed(error: OSError, as_json: bool) -> int:
    """Say that the operating system failed us where no room expected it: a full disk behind stdout, say."""
    if not isinstance(error, BrokenPipeError):
        source = None if error.filename is None else str(error.filename)
        record = {
            "code": "system.failed",
            "message": error.strerror or "the system refused",
            "source": source,
        }
        with suppress(OSError):
            _say({key: value for key, value in record.items() if value is not None}, as_json, None)
    # What is still buffered cannot be written, and Python would try once more, and complain, at its end.
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return 3


def error_record(error: GlassclaveError) -> dict[str, Any]:
    """The error as ``--json`` shows it (``docs/spec/verdict.md``); absent places are left out."""
    record = {
        "code": error.code,
        "message": error.message,
        "source": error.source,
        "field": error.field,
        "offset": error.offset,
        "hint": error.hint,
    }
    return {key: value for key, value in record.items() if value is not None}


def _say(record: dict[str, Any], as_json: bool, usage: click.ClickException | None) -> None:
    if as_json:
        print(json_text({"error": record}), flush=True)
        return
    if usage is not None:
        _show_usage(usage)
        return
    places = [f"{name} {record[name]}" for name in ("field", "offset") if name in record]
    subject = f"{record['source']}: " if "source" in record else ""
    where = f" ({', '.join(places)})" if places else ""
    print(f"error: {escape_untrusted(subject + record['message'] + where)}", file=sys.stderr)
    if "hint" in record:
        print(f"  {escape_untrusted(record['hint'])}", file=sys.stderr)
    print(f"  {record['code']}", file=sys.stderr)

"""The sandbox's command line: one verb per file, loaded when it is called; the only place that prints."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType

import click

from glassclave.errors import GlassclaveError
from glassclave.escaping import escape_untrusted
from glassclave_sandbox import __version__

VERBS = {
    "run": "boot an enclave image in QEMU, with vsock",
    "services": "a Sigstore and an OCI registry on loopback",
    "attest": "the attestation document of an image, under a test root",
}

INTERRUPTED = 130
TERMINATED = 143


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or ``None`` where there is no such verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"glassclave_sandbox.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with one line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="glassclave-sandbox")
def group() -> None:
    """What Glassclave is tried against, on loopback, with keys made per run.

    Exit status: 0 done; 2 usage; 3 could not be done; 130 interrupted.
    """


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)  # unwinds: QEMU and temporary directories are removed on the way


def main(arguments: list[str] | None = None) -> None:
    """Entry point: the one place that turns errors into messages and exit statuses."""
    signal.signal(signal.SIGTERM, _terminate)
    # Scripts start what is behind `&` with SIGINT ignored; being interrupted is how we end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = group.main(
            args=sys.argv[1:] if arguments is None else arguments,
            prog_name="glassclave-sandbox",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    except click.ClickException as error:
        error.show(file=sys.stderr)
        status = 2
    except GlassclaveError as error:
        subject = f"{error.source}: " if error.source else ""
        print(f"error: {escape_untrusted(subject + error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {escape_untrusted(error.hint)}", file=sys.stderr)
        print(f"  {error.code}", file=sys.stderr)
        status = error.exit_status
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output went away: not our error, and no success either
        status = 3
    sys.exit(status if isinstance(status, int) else 0)

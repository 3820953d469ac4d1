"""The scenes of the demo, in order."""

from __future__ import annotations

import filecmp
import itertools
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from glassclave.errors import UnavailableError
from glassclave.sizes import megabytes
from glassclave_sandbox.demo.attacks import ATTACKS, EVIL, Target, try_attack
from glassclave_sandbox.demo.enclave import DOCUMENT, ROOT, answer_nonce
from glassclave_sandbox.demo.stage import REPOSITORY, SERVICES, TRUST, DemoFailedError, Show, Stage
from glassclave_sandbox.services import Services

PAGE = "verdict.html"
_EXAMPLE = "hello"
_MARKS = ("✓", "✗", "–")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``folder``: a new folder that is kept, ``None`` for one that is removed at the end.

    ``qemu``: the program to boot the enclave with, ``None`` for none; ``why_not``: the reason for none.
    ``width``: columns of what the commands print.
    """

    folder: Path | None = None
    qemu: Path | None = None
    why_not: str = "no QEMU was named"
    width: int = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """How it went: whether a booted enclave answered, how many attacks were refused, how long it took."""

    booted: bool
    attacks: int
    seconds: float


def run_demo(show: Show, options: Options, *, stay: Callable[[Stage], None] | None = None) -> Demo:
    """All scenes. ``stay`` is called at the end, while the services still answer.

    Raises `DemoFailedError` where a promise is not kept, `UnavailableError` ``demo.folder``.
    """
    started = time.monotonic()
    with _folder(options.folder) as folder, Services(folder / SERVICES) as services:
        telling = _Telling(Stage(folder, services, options.width), show)
        booted = telling.tell(options)
        result = Demo(booted=booted, attacks=len(ATTACKS), seconds=time.monotonic() - started)
        if stay is not None:
            stay(telling.stage)
    return result


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="glassclave-demo-") as temporary:
            yield Path(temporary)
        return
    try:
        wanted.mkdir(parents=True)
    except OSError as error:
        raise UnavailableError(
            "demo.folder",
            f"cannot be made: {error.strerror}",
            source=str(wanted),
            hint="name a folder that is not there yet",
        ) from error
    yield wanted.absolute()


@dataclass(slots=True)
class _Telling:
    stage: Stage
    show: Show
    number: int = 0

    def tell(self, options: Options) -> bool:
        with self.scene("A container image"):
            self.unpack_example()
        with self.scene("Build an enclave image from it"):
            self.build()
        with self.scene("Build it again: other hour, other time zone, other umask"):
            self.build_again()
        with self.scene("Publish it, signed with the identity of the GitHub job that built it"):
            self.publish()
        with self.scene("Verify it as a stranger: who built this, from what, and are these its bytes?"):
            self.verify()
        nonce = secrets.token_hex(32)
        with self.scene("Run it, and ask the running enclave with a nonce of our own"):
            booted = answer_nonce(self.stage, self.show, nonce, options.qemu, options.why_not)
        with self.scene("Verify that this image is what runs"):
            self.verify_live(nonce)
        with self.scene("Seven attacks, each judged by the same command (the last three with --document)"):
            self.attacks(nonce)
        return booted

    @contextmanager
    def scene(self, title: str) -> Iterator[None]:
        self.number += 1
        self.show.title(self.number, title)
        started = time.monotonic()
        yield
        self.show.end(time.monotonic() - started)

    def command(self, *words: str, job: Mapping[str, str] | None = None) -> str:
        """Show and run a command; what it printed."""
        self.show.command(" ".join(words))
        return self.stage.run(words, job=job).expect(0).out

    def unpack_example(self) -> None:
        example = resources.files(__package__).joinpath(_EXAMPLE)
        with resources.as_file(example) as path:
            shutil.copytree(path, self.stage.folder / _EXAMPLE)
        size = sum(
            file.stat().st_size for file in (self.stage.folder / _EXAMPLE).rglob("*") if file.is_file()
        )
        self.show.note(
            f"{_EXAMPLE}/: an OCI layout, {megabytes(size)}, made from examples/hello of the sources"
        )
        self.show.note("one static program: it answers a nonce with its attestation document, over vsock")

    def build(self) -> None:
        said = self.command("glassclave", "build", f"oci:{_EXAMPLE}", "-o", "hello.eif")
        for line in said.splitlines():
            if line.startswith(("PCR", "not measured")):
                self.show.output(line)

    def build_again(self) -> None:
        words = ["glassclave", "build", f"oci:{_EXAMPLE}", "-o", "again.eif"]
        self.show.command(f"(umask 077; TZ=Asia/Tokyo {' '.join(words)}); cmp hello.eif again.eif")
        self.stage.run(words, umask=0o077, TZ="Asia/Tokyo").expect(0)
        first, second = self.stage.folder / "hello.eif", self.stage.folder / "again.eif"
        if not filecmp.cmp(first, second, shallow=False):
            raise DemoFailedError("demo.bytes", "two builds of one image gave different bytes")
        self.show.note(f"identical, all {first.stat().st_size:,} bytes")

    def publish(self) -> None:
        self.show.note(f"a registry and a Sigstore on loopback; we are a job of {REPOSITORY}, pushed to main")
        words = ("glassclave", "publish", "hello.eif", self.stage.reference, *TRUST.split())
        for line in self.command(*words, job=self.stage.job()).splitlines():
            if not line.startswith("next"):
                self.show.output(line)

    def verify(self) -> None:
        self.show_verdict(self.command(*self.question(), "--html", PAGE))

    def question(self) -> tuple[str, ...]:
        return ("glassclave", "verify", self.stage.reference, "--repo", REPOSITORY, *TRUST.split())

    def show_verdict(self, said: str) -> None:
        """The checks, and the last line: the level in words."""
        lines = said.splitlines()
        first = next(index for index, line in enumerate(lines) if line.startswith(_MARKS))
        for line in itertools.takewhile(str.strip, lines[first:]):
            self.show.output(line)
        self.show.output(lines[-1])

    def verify_live(self, nonce: str) -> None:
        answer = ("--document", DOCUMENT, "--nonce", "$NONCE", *ROOT.split(), "--html", PAGE)
        words = (*self.question(), *answer)
        self.show.command(" ".join(words))
        words = tuple(nonce if word == "$NONCE" else word for word in words)
        self.show_verdict(self.stage.run(words).expect(0).out)

    def attacks(self, nonce: str) -> None:
        words = ["glassclave", "build", f"oci:{_EXAMPLE}", "-o", EVIL, "--env", "BACKDOOR=1"]
        self.show.command(" ".join(words))
        self.stage.run(words).expect(0)
        self.show.command(" ".join(self.question()))
        target = Target.of(self.stage, nonce)
        for attack in ATTACKS:
            code, message = try_attack(attack, target)
            self.show.attack(attack.title, code, message)
        self.stage.run(self.question()).expect(0)
        self.show.note("the tag is put back: the same command passes again")

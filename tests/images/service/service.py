"""A web service on Flask: the nonce of the image, and what the machine looks like from inside."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

flask = importlib.import_module("flask")  # by name: this environment has none, the image has

SERVICE = Path(__file__).parent


def nonce() -> str:
    """The file that every image has its own of."""
    return Path("/nonce").read_text(encoding="ascii")


def listing() -> Any:
    """Every file of the image, as the guest sees it."""
    return json.loads(run(str(SERVICE / "listing.py"), "/").stdout)


def start(modules: str) -> dict[str, Any]:
    """How Python starts: modules read from .pyc files, and those whose source had to be compiled."""
    said = run("-v", "-B", "-c", f"import {modules}").stderr
    return {
        "cached": re.findall(r"^# code object from '(.+\.pyc)'$", said, re.M),
        "compiled": re.findall(r"^# code object from (/.+\.py)$", said, re.M),
        "stale": re.findall(r"^# bytecode is stale for '(.+)'$", said, re.M),
        "user": [os.getuid(), os.getgid()],
    }


def touch() -> str:
    """Makes one source, that of module ``listing``, newer than its .pyc file says."""
    os.utime(SERVICE / "listing.py")
    return "touched"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python, a second time."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


app = flask.Flask(__name__)
app.add_url_rule("/", view_func=nonce)
app.add_url_rule("/listing", view_func=listing)
app.add_url_rule("/start/<modules>", view_func=start)
app.add_url_rule("/touch", view_func=touch, methods=["POST"])

#!/usr/bin/env bash
# environment.sh - makes .venv: hashed requirements, then our distributions as editable installs. Run by make; quick when nothing changed.
#   PYTHON=/path/to/python3.12 make …   chooses the interpreter; otherwise the first of python3.11, 3.12, 3.13, python3 that runs.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=.venv

stop() { printf 'environment: %s\n' "$*" >&2; exit 1; }

find_python() { # a name on PATH can be a shim for a version that is not chosen: only running it tells
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then command -v "$name"; return; fi
  done
  return 1
}

make_venv() {
  local python
  python=$(find_python) || stop "no Python 3.11 or newer on PATH: install one, or name it with PYTHON=…"
  if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then   # Debian keeps these two in a package of their own
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || stop "$python has no venv module: install your system's python3-venv"
    bash tools/peers.sh packages python3-venv || stop "python3-venv cannot be installed"
  fi
  "$python" -m venv "$VENV" || stop "$python -m venv failed"
}

run_pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

checksum() { cat "$@" | sha256sum | cut -d' ' -f1; }

[ -x "$VENV/bin/python" ] || make_venv
wanted=$(checksum requirements/dev.txt)
if [ "$(cat "$VENV/.requirements" 2>/dev/null)" != "$wanted" ]; then
  echo "environment: installing requirements/dev.txt (every file is checked against its hash)"
  # --no-deps: the file is the whole closure. Resolving it again lets a later release of a package that is wanted
  # with an extra (pydantic[email]) stop the installation, although the file pins it (pip 23.2, seen 2026-11-24).
  run_pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements/dev.txt
  run_pip check --quiet || stop "requirements/dev.txt is not complete: make requirements"
  echo "$wanted" > "$VENV/.requirements"
fi

distributions=(.)
[ ! -f sandbox/pyproject.toml ] || distributions+=(sandbox)
manifests=("${distributions[@]/%//pyproject.toml}")
wanted=$(checksum "${manifests[@]}")
if [ "$(cat "$VENV/.distributions" 2>/dev/null)" != "$wanted" ]; then
  echo "environment: installing editable: ${distributions[*]}"
  run_pip install --quiet --no-deps --no-build-isolation "${distributions[@]/#/--editable=}"
  echo "$wanted" > "$VENV/.distributions"
fi
touch "$VENV/.ready"

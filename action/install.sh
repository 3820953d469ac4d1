#!/usr/bin/env bash
# install.sh - the first step of action.yml: glassclave from this checkout, its requirements by hash, into RUNNER_TEMP.
# Nothing is fetched but the files that requirements/action.txt names by SHA-256.
set -euo pipefail
place=$RUNNER_TEMP/glassclave here=$(cd "$(dirname "$0")/.." && pwd)
stop() { printf '::error title=%s::%s\n' "$1" "$2"; exit 2; }

main() {
  [ "$RUNNER_OS" = Linux ] || stop action.runner "enclave images are built on Linux runners: runs-on: ubuntu-24.04"
  for name in python3.12 python3.13 python3.11 python3; do
    "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$name && break
  done
  [ -n "${python:-}" ] || stop action.python "Python 3.11 or later is needed: runs-on: ubuntu-24.04, or actions/setup-python before this step"

  echo "::group::glassclave from $(basename "$here")"
  mkdir -p "$place/bin"
  "$python" -m venv "$place/venv"
  "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
    --only-binary :all: -r "$here/requirements/action.txt"
  printf '#!/bin/sh\nPYTHONPATH=%s exec %s -m glassclave "$@"\n' "'$here/src'" "'$place/venv/bin/python'" > "$place/bin/glassclave"
  chmod +x "$place/bin/glassclave"
  "$place/bin/glassclave" --version
  echo "::endgroup::"
}

# The job signs what its steps said (action.yml, log-archive), so this one keeps its own log.
mkdir -p "$place/logs"
main 2>&1 | tee "$place/logs/0.log"

#!/usr/bin/env bash
# release.sh - what a release consists of, into FOLDER: the wheels of both distributions and an SBOM of what they are installed with.
#   bash tools/release.sh FOLDER [TAG]     TAG (v1.2.3) has to name the version that is built
# The same commit gives the same bytes: every time in them is the commit's, every tool is one of requirements/release.txt.
# What packs them is Python's zlib: another one may write other bytes for the same files.
set -euo pipefail
into=$(realpath -m "${1:?a folder to write to}") tag=${2:-}
cd "$(dirname "$0")/.."
stop() { printf 'release: %s\n' "$*" >&2; exit 1; }

find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$name"; return; fi
  done
  stop "Python 3.11 or later is needed"
}
version_of() { "$python" -c 'import sys, tomllib; print(tomllib.load(open(sys.argv[1], "rb"))["project"]["version"])' "$1"; }

python=$(find_python)
version=$(version_of pyproject.toml)
[ "$version" = "$(version_of sandbox/pyproject.toml)" ] || stop "the two distributions have different versions"
[ -z "$tag" ] || [ "$tag" = "v$version" ] || stop "the tag is $tag, the version is $version"
[ ! -e "$into" ] || [ -z "$(ls -A "$into")" ] || stop "$into is not empty"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
  --only-binary :all: -r requirements/release.txt
for project in . sandbox; do
  (cd "$project" && "$tools/bin/python" -m hatchling build -t wheel -d "$into/wheels")
done
mkdir -p "$into/assets"
# What it warns of is known: the file lists what is installed, not who wants whom.
PYTHONWARNINGS=ignore "$tools/bin/cyclonedx-py" requirements --output-reproducible --pyproject pyproject.toml --mc-type application \
  --of JSON -o "$into/assets/glassclave-$version.cdx.json" requirements/runtime.txt
(cd "$into" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum)

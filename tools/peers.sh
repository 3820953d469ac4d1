#!/usr/bin/env bash
# peers.sh PART... - brings the real programs that our tests run against into .peers/ (git ignores it).
#   first     in seconds, from Debian: system docker-registry cosign oras umoci skopeo buildah docker
#   second    in minutes, built from pinned sources: cosign-3 crane oras-1.3 refregistry actionlint sigstore eif_build nitro-cli
#   packages NAME...   installs Debian packages of the machine's own suite (root only)
# Parts can be named one by one. What is there in its pinned version is not made again. A part that cannot be had is named with
# the reason (also kept in .peers/missing/PART, where skipped tests read it), and the exit status is 1.
# Debian's programs are unpacked, never installed; only the parts `system` and `packages` change the machine.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
DIR=${GLASSCLAVE_PEERS:-$PWD/.peers}
mkdir -p "$DIR" && DIR=$(cd "$DIR" && pwd) || exit 1
BIN=$DIR/bin LOG=$DIR/log STAMPS=$DIR/stamps MISSING=$DIR/missing
mkdir -p "$BIN" "$LOG" "$STAMPS" "$MISSING" "$DIR/etc" || exit 1
FAILED=()

FIRST=(system docker-registry cosign oras umoci skopeo buildah docker)
SIGSTORE=(postgresql fulcio timestamp-server trillian ct_server rekor-server rekor-server-posix)
SECOND=(cosign-3 crane oras-1.3 refregistry actionlint "${SIGSTORE[@]}" eif_build nitro-cli)

# The newest that Go 1.26 builds.
COSIGN3=v3.1.3 CRANE=v0.22.1 ORAS13=v1.3.6 FULCIO=v1.8.8 TSA=v2.1.3 TRILLIAN=v1.8.0 CTFE=v1.4.0 REKOR=v1.5.4 REKOR_TILES=v2.3.0
ACTIONLINT=v1.7.7
EIF_BUILD=0.2.1 NITRO_CLI=1.5.2
# What QEMU with the nitro-enclave machine needs at run time, what makes the images of the tests, and the libraries of buildah,
# which starts itself anew with an empty environment for every RUN: a path to libraries beside it does not get there.
SYSTEM=(libcbor0.8 libfdt1 libpixman-1-0 libglib2.0-0 libgnutls30 seabios qemu-system-data debootstrap zstd xz-utils openssl busybox-static cpio libfaketime
  libgpgme11 libdevmapper1.02.1 libsubid4 libseccomp2)

say() { printf 'peers: %s\n' "$*"; }
missing() { say "cannot have $1: $2"; FAILED+=("$1"); printf '%s\n' "$2" > "$MISSING/$1"; }
present() { [ -e "$STAMPS/$1@$2" ] && [ -x "$BIN/${3:-$1}" ]; }
done_with() { rm -f "$STAMPS/$1@"* "$MISSING/$1"; : > "$STAMPS/$1@$2"; say "have $1 ($SECONDS s)"; }
reason() { # LOGFILE: what it ends with, without the addresses of mirrors and proxies
  { grep -m1 -iE '^(E: |error)' "$1" || grep -v '^go: downloading' "$1" | tail -n 2; } | tr '\n' ' ' | cut -c1-300 |
    sed -E 's#https?://[^ ]+#<address>#g; s#(lookup|resolve|connect to) [^ ]+#\1 <host>#g'
}

# ---- Debian -------------------------------------------------------------------------------------------------------------------
APT=(-o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root)
export DEBIAN_FRONTEND=noninteractive

refresh() { # APT-OPTION...: another apt may hold the lists' lock, which no option waits for
  local attempt
  for attempt in 1 2 3 4 5; do apt-get -q "${APT[@]}" "$@" update && return 0; say "apt-get update: attempt $attempt failed"; sleep 5; done
  return 1
}
known() { apt-cache show "$1" >/dev/null 2>&1; }
debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null && [ "$(dpkg --print-architecture)" = amd64 ]; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}\n' "$@" 2>/dev/null | grep -c '^ii')" = $# ]; }

install_packages() { # NAME...
  installed "$@" && return 0
  [ "$(id -u)" = 0 ] || { echo "error: installing $* needs root" >&2; return 1; }
  { known "${!#}" || refresh; } && { apt-get -q "${APT[@]}" install -y --no-install-recommends "$@" ||
    { refresh && apt-get -q "${APT[@]}" install -y --no-install-recommends "$@"; }; }
}
unpack() { # PART PACKAGE...: download from the machine's own suite and unpack into DIR/PART
  local part=$1 file; shift
  rm -rf "${DIR:?}/$part" "$DIR/debs/$part"; mkdir -p "$DIR/$part" "$DIR/debs/$part"
  (cd "$DIR/debs/$part" && apt-get -q "${APT[@]}" download "$@") || return 1
  for file in "$DIR/debs/$part"/*.deb; do dpkg -x "$file" "$DIR/$part" || return 1; done
  rm -rf "$DIR/debs/$part"
}
unpack_own() { known "$2" || refresh || return 1; unpack "$@" || { refresh && unpack "$@"; }; }
unpack_newer() { # PART PACKAGE: from the next Debian release, through lists and a cache of its own; the system's apt sees none of it
  local state=$DIR/apt-trixie uri key
  # A machine of that release or a later one has the package itself.
  [ "$(cut -d. -f1 /etc/debian_version)" -lt 13 ] 2>/dev/null || { unpack_own "$@"; return; }
  read -r uri key < <(own_source) || { echo "error: no Debian source in this machine's apt configuration"; return 1; }
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$uri" "$key" > "$state/trixie.sources"
  local APT=("${APT[@]}" -o "Dir::Etc::sourcelist=$state/trixie.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o Acquire::Languages=none)
  [ -n "$(find "$state/lists" -name '*_InRelease' -mmin -60)" ] || refresh || return 1
  unpack "$@" || { refresh && unpack "$@"; }
}
own_source() { # "URI KEY" of the machine's first Debian source, in either of apt's two formats
  local file key=/usr/share/keyrings/debian-archive-keyring.gpg
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] && awk -v key="$key" '/^URIs:/ && !uri {uri = $2} /^Signed-By:/ && NF == 2 {key = $2; exit}
      END {if (uri) print uri, key; exit !uri}' "$file" && return 0
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] && awk -v key="$key" '$1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /:\//) {print $i, key; found = 1; exit}}
      END {exit !found}' "$file" && return 0
  done
  return 1
}
wrapper() { # NAME LINE...: a shell script in bin, where $d is .peers, wherever that is
  # shellcheck disable=SC2016  # $d is for the script that is written
  { printf '%s\n' '#!/bin/sh' 'd=$(dirname "$(dirname "$(readlink -f "$0")")")' "${@:2}"; } > "$BIN/$1"; chmod +x "$BIN/$1"
}
from_debian() { # UNPACK-FUNCTION NAME PACKAGE...
  local unpacker=$1 name=$2; shift 2
  present "$name" debian && return
  SECONDS=0
  debian || { missing "$name" "this is not Debian on amd64: install it yourself and put it on PATH"; return; }
  if "$unpacker" "$name" "$@" > "$LOG/$name" 2>&1; then
    if declare -F "finish_$name" >/dev/null; then "finish_$name"; else ln -sfn "../$name/usr/bin/$name" "$BIN/$name"; fi
    done_with "$name" debian
  else missing "$name" "$(reason "$LOG/$name")"; fi
}
policy() { [ -s "$DIR/etc/policy.json" ] || echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$DIR/etc/policy.json"; }
LIBRARIES=usr/lib/x86_64-linux-gnu
finish_skopeo() { # its libraries lie beside it; Debian keeps the policy file in a package of its own
  policy
  # shellcheck disable=SC2016
  wrapper skopeo 'export LD_LIBRARY_PATH="$d/skopeo/'$LIBRARIES:'$d/skopeo/lib/x86_64-linux-gnu"' \
    'exec "$d/skopeo/usr/bin/skopeo" --policy "$d/etc/policy.json" "$@"'
}
finish_buildah() { # without user namespaces and overlay mounts, so that it works where those are forbidden
  policy
  # shellcheck disable=SC2016
  wrapper buildah 'export LD_LIBRARY_PATH="$d/buildah/'$LIBRARIES:'$d/buildah/lib/x86_64-linux-gnu"' \
    'export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"' \
    'exec "$d/buildah/usr/bin/buildah" "$@"'
}
finish_postgresql() { # `postgresql PROGRAM ARGUMENT...`: its programs are found beside each other
  # shellcheck disable=SC2016
  wrapper postgresql 'export LD_LIBRARY_PATH="$d/postgresql/'$LIBRARIES'"' \
    'set -- "$d"/postgresql/usr/lib/postgresql/*/bin/"$@"' 'exec "$@"'
}
part_system() {
  if ! debian; then missing system "this is not Debian on amd64"; return; fi
  installed "${SYSTEM[@]}" && { rm -f "$MISSING/system"; return; }
  SECONDS=0
  if install_packages "${SYSTEM[@]}" > "$LOG/system" 2>&1; then rm -f "$MISSING/system"; say "have system packages ($SECONDS s)"
  else missing system "$(reason "$LOG/system")"; fi
}
finish_docker() { # the engine and its client; tests start it on a socket of their own, without a bridge network
  local program
  for program in docker dockerd; do
    # shellcheck disable=SC2016
    wrapper "$program" 'export PATH="$d/docker/usr/sbin:$d/docker/usr/bin:$PATH"' \
      'for p in "$d/docker/usr/bin/'"$program"'" "$d/docker/usr/sbin/'"$program"'"; do [ ! -x "$p" ] || exec "$p" "$@"; done'
  done
}
part_docker() { from_debian unpack_own docker docker.io containerd runc; }
part_docker-registry() { from_debian unpack_own docker-registry docker-registry; }
part_umoci() { from_debian unpack_own umoci umoci; }
part_skopeo() { from_debian unpack_own skopeo skopeo libgpgme11 libassuan0 libgpg-error0 libdevmapper1.02.1; }
part_buildah() { from_debian unpack_own buildah buildah libgpgme11 libassuan0 libgpg-error0 libdevmapper1.02.1 libsubid4 libseccomp2; }
part_postgresql() { # where Trillian keeps its logs
  from_debian unpack_own postgresql postgresql-15 libpq5 libicu72 libxml2 libldap-2.5-0 libsasl2-2 liblz4-1 libgssapi-krb5-2 \
    libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libcom-err2
}
part_cosign() { from_debian unpack_newer cosign cosign; }
part_oras() { from_debian unpack_newer oras oras; }

# ---- Go and Rust --------------------------------------------------------------------------------------------------------------
go_program() { # NAME PACKAGE VERSION: go names the binary after the package's last element that is not a major version
  present "$1" "$3" && return
  SECONDS=0
  command -v go >/dev/null || { missing "$1" "no Go toolchain on PATH"; return; }
  local into=$DIR/gobin
  if nice env GOBIN="$into" GOTOOLCHAIN=local GOWORK=off GOFLAGS='-trimpath -buildvcs=false -ldflags=-s' go install "$2@$3" \
    > "$LOG/$1" 2>&1 && mv -f "$into/${2##*/}" "$BIN/$1"; then done_with "$1" "$3"
  else missing "$1" "$(reason "$LOG/$1")"; fi
}
module_file() { # NAME MODULE VERSION PATH: a file out of a module's source, as .peers/etc/NAME
  [ -e "$STAMPS/$1@$3" ] && [ -s "$DIR/etc/$1" ] && return
  SECONDS=0
  command -v go >/dev/null || { missing "$1" "no Go toolchain on PATH"; return; }
  local source
  source=$(cd "$DIR/etc" && GOTOOLCHAIN=local GOWORK=off go mod download -json "$2@$3" 2> "$LOG/$1" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
  if install -m 644 "$source/$4" "$DIR/etc/$1" 2>> "$LOG/$1"; then done_with "$1" "$3"; else missing "$1" "$(reason "$LOG/$1")"; fi
}
part_cosign-3() { go_program cosign-3 github.com/sigstore/cosign/v3/cmd/cosign $COSIGN3; }
part_crane() { go_program crane github.com/google/go-containerregistry/cmd/crane $CRANE; }
part_oras-1.3() { go_program oras-1.3 oras.land/oras/cmd/oras $ORAS13; }
part_actionlint() { go_program actionlint github.com/rhysd/actionlint/cmd/actionlint $ACTIONLINT; }
part_fulcio() { # and its production configuration: how tokens become claims of a certificate
  go_program fulcio github.com/sigstore/fulcio $FULCIO
  module_file fulcio-identity.yaml github.com/sigstore/fulcio $FULCIO config/identity/config.yaml
}
part_timestamp-server() { go_program timestamp-server github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server $TSA; }
part_ct_server() { go_program ct_server github.com/google/certificate-transparency-go/trillian/ctfe/ct_server $CTFE; }
part_rekor-server() { go_program rekor-server github.com/sigstore/rekor/cmd/rekor-server $REKOR; }
part_rekor-server-posix() { go_program rekor-server-posix github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix $REKOR_TILES; }
part_trillian() { # rekor-server and ct_server keep their trees in it, and it keeps them in PostgreSQL
  local program
  module_file trillian-postgresql.sql github.com/google/trillian $TRILLIAN storage/postgresql/schema/storage.sql
  for program in trillian_log_server trillian_log_signer createtree; do
    go_program $program github.com/google/trillian/cmd/$program $TRILLIAN
  done
}
part_refregistry() { # a registry in memory with the referrers API, which `crane registry serve` leaves off
  present refregistry "$CRANE" && return
  SECONDS=0
  command -v go >/dev/null || { missing refregistry "no Go toolchain on PATH"; return; }
  local source=$DIR/src/refregistry
  rm -rf "$source"; mkdir -p "$source" && cp tools/refregistry/main.go "$source/"
  printf 'module glassclave.invalid/refregistry\n\ngo 1.25.0\n\nrequire github.com/google/go-containerregistry %s\n' "$CRANE" > "$source/go.mod"
  if (cd "$source" && export GOTOOLCHAIN=local GOWORK=off && nice go mod tidy && nice go build -trimpath -buildvcs=false -o "$BIN/refregistry" .) \
    > "$LOG/refregistry" 2>&1; then done_with refregistry "$CRANE"; else missing refregistry "$(reason "$LOG/refregistry")"; fi
}
crate() { # NAME CRATE VERSION
  present "$1" "$3" && return
  SECONDS=0
  command -v cargo >/dev/null || { missing "$1" "no Rust toolchain on PATH"; return; }
  if { install_packages libssl-dev pkg-config cmake &&
    nice env CARGO_TARGET_DIR="$DIR/cargo" cargo install --quiet --locked --force --root "$DIR" --version "$3" "$2"; } > "$LOG/$1" 2>&1
  then done_with "$1" "$3"; else missing "$1" "$(reason "$LOG/$1")"; fi
  rm -rf "$DIR/cargo"
}
part_eif_build() { crate eif_build eif_build $EIF_BUILD; }
part_nitro-cli() { # every sub-command stops until its log folder exists
  crate nitro-cli aws-nitro-enclaves-cli $NITRO_CLI
  mkdir -p /var/log/nitro_enclaves 2>/dev/null || missing nitro-cli "its log folder /var/log/nitro_enclaves cannot be made"
}

# ---- what was asked for ---------------------------------------------------------------------------------------------------------
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
exec 9> "$DIR/lock"; flock 9                      # one run at a time in one folder
if [ "$1" = packages ]; then shift; install_packages "$@" > "$LOG/packages" 2>&1 || { say "cannot install $*: $(reason "$LOG/packages")"; exit 1; }; exit 0; fi
PARTS=()
for part in "$@"; do
  case $part in first) PARTS+=("${FIRST[@]}") ;; second) PARTS+=("${SECOND[@]}") ;; sigstore) PARTS+=("${SIGSTORE[@]}") ;; *) PARTS+=("$part") ;; esac
done
for part in "${PARTS[@]}"; do
  if declare -F "part_$part" >/dev/null; then "part_$part"; else missing "$part" "there is no such part"; fi
done
[ ${#FAILED[@]} = 0 ] || { say "not here: ${FAILED[*]} (tests that need them say so and are skipped)"; exit 1; }

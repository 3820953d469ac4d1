#!/usr/bin/env bash
# acceptance.sh - the main job, line by line, on real parts: docker-registry, cosign, oras, umoci, skopeo, QEMU, a Sigstore on loopback.
# Random in every run, so that nothing can be prepared. Prints a line for each thing that was seen; stops at the first that was not.
# Run by `make acceptance`; needs what `make test` brings, and uses cosign 3, eif_build and nitro-cli of `make peers` where they are.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD PATH=$PWD/.venv/bin:$PWD/.peers/bin:$PATH
FOLDER=$(mktemp -d); cd "$FOLDER"
trap 'echo "acceptance.sh: line $LINENO failed: $BASH_COMMAND" >&2' ERR
trap 'status=$?; kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; cd /; rm -rf "$FOLDER"; exit $status' EXIT
export HOME=$FOLDER HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1,localhost
# What a machine may have set for other tools must not help or hinder.
unset DOCKER_CONFIG REGISTRY_AUTH_FILE COSIGN_REPOSITORY "${!SIGSTORE_@}" "${!GITHUB_@}" "${!ACTIONS_@}"

say() { printf '%-9s %s\n' "$1" "$2"; }
seen() { say seen "$*"; }
stop() { say 'NOT SEEN' "$*" >&2; exit 1; }
expect() { # STATUS COMMAND...: its output goes to `said`, its errors to `err`
  local wanted=$1 status=0; shift
  "$@" > said 2> err || status=$?
  [ "$status" = "$wanted" ] || { tail -n 30 said err >&2; stop "status $status, not $wanted: $*"; }
}
fails() { ! "$@" > said 2> err || stop "refused: $*"; }
same() { [ "$1" = "$2" ] || stop "$3: $1 and $2"; seen "$3"; }
wait_for() { for _ in $(seq 300); do eval "$1" && return; sleep 0.2; done; stop "$2"; }
pcrs_of() { glassclave describe "$1" --json | python -c 'import json,sys; m=json.load(sys.stdin)["Measurements"]; print(*(m[f"PCR{i}"] for i in range(3)))'; }
reasons() { python -c 'import json; print(*(c["code"] for c in json.load(open("said"))["checks"] if c["status"] == "fail"))'; }

# ---- one image in every form, with a file that nobody can know before -----------------------------------------------------
N=$(openssl rand -hex 16)
umoci init --layout out; umoci new --image out:t; umoci unpack --rootless --image out:t bundle 2>/dev/null
mkdir -p bundle/rootfs/bin; cp "$(command -v busybox)" bundle/rootfs/bin/sh; echo "$N" > bundle/rootfs/nonce
tar -xOf "$ROOT"/examples/hello/layout/blobs/sha256/"$(ls -S "$ROOT"/examples/hello/layout/blobs/sha256 | head -n 1)" hello > bundle/rootfs/hello
chmod 755 bundle/rootfs/hello bundle/rootfs/bin/sh
umoci repack --image out:t bundle 2>/dev/null
umoci config --image out:t --config.cmd sh --config.cmd -c --config.cmd 'read n < /nonce; echo "the nonce is $n"; exec /hello' --config.env PATH=/bin
skopeo copy --quiet oci:out:t docker-archive:out.tar:name:t

(umask 077; export TZ=Asia/Tokyo; expect 0 glassclave build oci:out:t -o a.eif)
expect 0 glassclave build docker-archive:out.tar -o b.eif
cmp a.eif b.eif || stop "a.eif and b.eif are equal"
seen "one image as layout and as archive, other umask and time zone: equal files"
expect 0 env SOURCE_DATE_EPOCH=1 glassclave build oci:out:t -o c.eif
cmp -s a.eif c.eif && stop "the build time in the metadata"
same "$(pcrs_of c.eif)" "$(pcrs_of a.eif)" "SOURCE_DATE_EPOCH changes the file and no PCR"
same "$(python "$ROOT"/tests/oracle_pcrs.py a.eif | cut -d' ' -f2 | xargs)" "$(pcrs_of a.eif)" "PCR0-2 as a script of 38 lines computes them"
if command -v nitro-cli >/dev/null; then
  expect 0 nitro-cli describe-eif --eif-path a.eif
  same "$(python -c 'import json; m=json.load(open("said"))["Measurements"]; print(*(m[f"PCR{i}"].lower() for i in range(3)))')" "$(pcrs_of a.eif)" "PCR0-2 as the real nitro-cli describes them"
else say skipped "nitro-cli: make peers brings it"; fi

# ---- the enclave ------------------------------------------------------------------------------------------------------------
if [ -n "${GLASSCLAVE_QEMU:-}" ]; then
  glassclave-sandbox run a.eif --forward s.sock:8080 > console 2> events & ENCLAVE=$!
  wait_for 'grep -q listening console' "the enclave says that it listens"
  grep -q "the nonce is $N" console || stop "the console shows the nonce"
  curl -sS --noproxy '*' --unix-socket s.sock "http://hello/enclave/attestation?nonce=$N" > qemu.b64
  kill "$ENCLAVE"; wait "$ENCLAVE" || true
  # cbor2 and not our own reader
  python - > qemu.txt <<'PY'
import base64, cbor2
payload = cbor2.loads(cbor2.loads(base64.b64decode(open("qemu.b64").read()))[2])
print(*(payload["pcrs"][index].hex() for index in range(3)), payload["nonce"].hex())
PY
  same "$(cat qemu.txt)" "$(pcrs_of a.eif) $N" "booted: console shows the nonce; over vsock QEMU's document, PCR0-2 in all digits, nonce as sent"
  expect 3 glassclave attestation verify qemu.b64 --eif a.eif --nonce "$N" --json
  grep -q cose.protected said || stop "QEMU's unsigned document is refused"
  expect 0 glassclave-sandbox attest a.eif --nonce "$N" --root roots --resign qemu.b64 -o doc.bin
  seen "QEMU's unsigned document is refused (cose.protected); the notary signs it anew"
else
  say skipped "booting: GLASSCLAVE_QEMU names no QEMU"
  expect 0 glassclave-sandbox attest a.eif --nonce "$N" --root roots -o doc.bin
fi
expect 0 glassclave-sandbox attest a.eif --nonce "$N" --root roots --debug -o debug.bin

# ---- publish ----------------------------------------------------------------------------------------------------------------
cat > registry.yml <<Y
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: "$FOLDER/storage"}}
http: {addr: "127.0.0.1:0"}
Y
docker-registry serve registry.yml > access.log 2>&1 &
wait_for "grep -oqE 'listening on 127.0.0.1:[0-9]+' access.log" "docker-registry listens"
HOST=$(grep -oE '127.0.0.1:[0-9]+' access.log | head -n 1)
glassclave-sandbox services --state st --no-registry > services.log & wait_for "[ -s st/env.sh ]" "the services are up"
REF=$HOST/o/r:t TRUST="--trust-config st/sandbox.json"
as_job() { # CLAIMS COMMAND...: CLAIMS as a query, e.g. event_name=pull_request
  local claims=$1; shift
  # shellcheck disable=SC1091
  (. st/env.sh; export ACTIONS_ID_TOKEN_REQUEST_URL="$ACTIONS_ID_TOKEN_REQUEST_URL&repository=o/r&$claims"; exec "$@")
}
# shellcheck disable=SC2086
publish() { expect 0 as_job "$1" glassclave publish "$2" "$REF" $TRUST --json; DIGEST=$(python -c 'import json; print(json.load(open("said"))["digest"])'); }
publish "" a.eif; GENUINE=$DIGEST
grep -oE '"PUT [^ ]+' access.log | tail -n 1 | grep -q '/v2/o/r/manifests/t$' || stop "the tag is put last"
same "$(grep -cE '"PUT /v2/o/r/manifests/t ' access.log)" 1 "published to docker-registry; its log shows the tag PUT once, and last"

# ---- cosign and oras --------------------------------------------------------------------------------------------------------
cosign_2() ( # REF: the seed's two flags; the environment points cosign at the sandbox
  # shellcheck disable=SC1091
  . st/env.sh; cosign verify "$1" --certificate-identity-regexp https://github.com/o/r/ --certificate-oidc-issuer https://token.actions.githubusercontent.com
)
cosign_3() { cosign-3 verify "$1" --trusted-root st/trusted_root.json --certificate-identity-regexp https://github.com/o/r/ --certificate-oidc-issuer https://token.actions.githubusercontent.com; }
expect 0 cosign_2 "$REF"; seen "cosign 2 verifies"
if command -v cosign-3 >/dev/null; then expect 0 cosign_3 "$REF"; seen "cosign 3 verifies"; else say skipped "cosign 3: make peers brings it"; fi
mkdir pulled; (cd pulled; oras pull --plain-http "$REF" >/dev/null)
cmp pulled/a.eif a.eif && seen "oras pull gives the same file"
signature_tag() { echo "$HOST/o/r:${1/:/-}.sig"; }
oras manifest fetch --plain-http "$(signature_tag "$GENUINE")" > genuine.sig
python - <<'PY'
import json
manifest = json.load(open("genuine.sig"))
notes = manifest["layers"][0]["annotations"]
text = notes["dev.cosignproject.cosign/signature"]
notes["dev.cosignproject.cosign/signature"] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
json.dump(manifest, open("flipped.sig", "w"))
PY
oras manifest push --plain-http "$(signature_tag "$GENUINE")" flipped.sig >/dev/null
fails cosign_2 "$REF"; seen "cosign 2 refuses a flipped signature"
publish "" c.eif; OTHER=$DIGEST
oras manifest fetch --plain-http "$(signature_tag "$OTHER")" > other.sig
oras manifest push --plain-http "$(signature_tag "$GENUINE")" other.sig >/dev/null
fails cosign_2 "$HOST/o/r@$GENUINE"; seen "cosign 2 refuses the signature of another manifest"
oras manifest push --plain-http "$(signature_tag "$GENUINE")" genuine.sig >/dev/null
expect 0 cosign_2 "$HOST/o/r@$GENUINE"
glassclave build oci:out:t -o e.eif --env "RUN=$N" > said 2> err
publish "repository=o/evil" e.eif
fails cosign_2 "$REF"; seen "cosign 2 refuses the certificate of another repository"

# ---- verify -----------------------------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
verify() { glassclave verify "$@" $TRUST; }
refused() { # CODE ARGUMENT...
  local code=$1; shift
  expect 1 verify "$@" --json
  same "$(reasons)" "$code" "verify refuses with $code"
}
publish "" a.eif
same "$DIGEST" "$GENUINE" "published again: the same manifest"
expect 0 verify "$REF" --repo o/r --json
same "$(python -c 'import json; print(json.load(open("said"))["level"])')" provenance "verify --repo o/r: provenance"
expect 0 verify "$REF" --repo o/r
tail -n 1 said | grep -q "no running enclave was checked" || stop "the last line says what was not checked"
expect 2 verify "$REF"
grep -q -- --repo err && grep -q -- --policy err || stop "without --repo: 2, and both options are named"
seen "verify without --repo: status 2, names --repo and --policy"
expect 1 verify "$REF" --repo o/evil --json
case " $(reasons) " in " identity.repository.mismatch"*) seen "verify refuses with identity.repository.mismatch" ;; *) stop "$(reasons)" ;; esac
expect 1 verify "$REF" --repo o/r --document debug.bin --historical --attestation-root roots/attestation-root.pem --json
same "$(reasons)" attestation.debug-mode "verify refuses a debug document with attestation.debug-mode"
expect 0 verify "$REF" --repo o/r --document doc.bin --nonce "$N" --attestation-root roots/attestation-root.pem --save kept --html page.html --json
same "$(python -c 'import json; print(json.load(open("said"))["level"])')" live-unbound "verify with the enclave's document: live-unbound"
cmp kept/image.eif a.eif
CLAIMS=(event_name=pull_request_target runner_environment=self-hosted
  job_workflow_ref=other/tools/.github/workflows/build.yml@refs/heads/main ref=refs/heads/x)
CODES=(identity.trigger.not-allowed identity.runner.not-github-hosted identity.signer-workflow.foreign identity.source-ref.not-allowed)
for i in 0 1 2 3; do # each with an image of its own, so that no earlier signature stands beside it
  glassclave build oci:out:t -o e.eif --env "RUN=$i" > said 2> err
  publish "${CLAIMS[i]}" e.eif
  refused "${CODES[i]}" "$REF" --repo o/r
done
# The tag moved by somebody who can write to the registry: the manifest with one PCR changed.
oras manifest fetch --plain-http "$HOST/o/r@$GENUINE" | sed -E 's/("PCR0":")[0-9a-f]{4}/\10000/' > moved.json
oras manifest push --plain-http "$REF" moved.json > /dev/null
refused signature.none "$REF" --repo o/r

# ---- documents of real enclaves -----------------------------------------------------------------------------------------------
expect 0 python "$ROOT"/tests/acceptance_documents.py "$ROOT"/tests/vectors/attestation
seen "$(cat said)"

# ---- interrupted builds -------------------------------------------------------------------------------------------------------
cp a.eif target.eif; rm -f target.measurements.json
for _ in $(seq 20); do
  glassclave build oci:out:t -o target.eif --env "RUN=$RANDOM" > said 2> err & BUILD=$!
  sleep "0.$((RANDOM % 40 + 10))"; kill -9 "$BUILD" 2>/dev/null || true; wait "$BUILD" 2>/dev/null || true
  glassclave describe target.eif > said 2> err || stop "after kill -9 the file is whole"
done
expect 0 glassclave build oci:out:t -o target.eif
same "$(ls -a | grep -c target)" 2 "kill -9 during build, 20 times: whole files, nothing left after the next build"

# ---- the demo, where there is no network ----------------------------------------------------------------------------------------
expect 0 unshare -rn sh -c 'ip link set lo up && exec glassclave demo --json'
same "$(python -c 'import json; d=json.load(open("said")); print(d["attacksRefused"], d["seconds"] < 60)')" "7 True" "demo in a network namespace of its own, under 60 s"
say done "$SECONDS s"

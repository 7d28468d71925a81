#!/usr/bin/env bash
# Pushing what is there already, and pushing one changed line: requests made, and the time of build and push beside a script of `curl`
# that makes only the requests that are needed, with the bytes ready. The project (benches/sixty) has 60 dependencies and is locked first.
#
#   benches/noop-push.sh [S2R [RUNS]]     default: a release build, and 20; prints the median of each, in milliseconds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin"
s2r=${1:-}
runs=${2:-20}

if [ -z "$s2r" ]; then
  cargo build --release --locked --quiet
  s2r=target/release/s2r
fi
s2r=$(realpath "$s2r")
work=$(mktemp -d)
registry=
finish() {
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
export XDG_DATA_HOME=$work/data
unset PIP_FIND_LINKS PIP_NO_INDEX

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
YAML
docker-registry serve "$work/registry.yml" >/dev/null 2>&1 &
registry=$!
image=127.0.0.1:$port/sixty
twin=127.0.0.1:$port/twin

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

cp -r benches/sixty "$work/app"
quietly "$s2r" lock "$work/app"
quietly "$s2r" build "$work/app" "$image" --push --progress none
quietly "$s2r" push "$image" "$twin" --progress none

median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

# Runs "$@" and prints how long it took in milliseconds.
milliseconds() {
  local begin=$EPOCHREALTIME
  "$@" >"$work/stdout" 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
  local end=$EPOCHREALTIME
  echo $(((${end/./} - ${begin/./}) / 1000))
}

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

"$s2r" push "$image" --json --progress none >"$work/noop.json"
printf 'requests of a push of what is there:   %4s (to reach: 3)\n' "$(field "$work/noop.json" requests)"

# The least that a client must do: an upload each for layer and config, and the manifest. $1 layer, $2 config, $3 manifest: their digests.
least() {
  local blobs=$work/data/s2r/blobs/sha256 places
  mapfile -t places < <(curl -sS -o /dev/null -w '%header{location}\n' -X POST -H 'Content-Length: 0' "http://127.0.0.1:$port/v2/twin/blobs/uploads/" \
    --next -sS -o /dev/null -w '%header{location}\n' -X POST -H 'Content-Length: 0' "http://127.0.0.1:$port/v2/twin/blobs/uploads/")
  curl -sSf -o /dev/null -T "$blobs/${1#*:}" -H 'Content-Type: application/octet-stream' "${places[0]}&digest=$1" \
    --next -sSf -o /dev/null -T "$blobs/${2#*:}" -H 'Content-Type: application/octet-stream' "${places[1]}&digest=$2" \
    --next -sSf -o /dev/null -T "$blobs/${3#*:}" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:$port/v2/twin/manifests/latest"
}

for run in $(seq "$runs"); do
  sed -i "s/^ANSWER = .*/ANSWER = \"$run\"/" "$work/app/wsgi.py"
  milliseconds "$s2r" build "$work/app" "$image" --push --progress none >>"$work/by-s2r"
  manifest=$(sed 's/.*@//' "$work/stdout")
  read -r layer config < <(python3 - "$work/data/s2r/blobs/sha256/${manifest#*:}" <<'PYTHON'
import json, sys

manifest = json.load(open(sys.argv[1]))
print(manifest["layers"][-1]["digest"], manifest["config"]["digest"])
PYTHON
  )
  milliseconds least "$layer" "$config" "$manifest" >>"$work/by-curl"
done

s2r_ms=$(median <"$work/by-s2r")
curl_ms=$(median <"$work/by-curl")
printf 'one line changed, built and pushed:    %4d ms\n' "$s2r_ms"
printf 'curl with the ready bytes, 5 requests: %4d ms\n' "$curl_ms"
awk -v a="$s2r_ms" -v b="$curl_ms" 'BEGIN { printf "times as long:                       %6.1f (to reach: 2)\n", a / b }'

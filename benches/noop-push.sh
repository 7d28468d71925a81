#!/usr/bin/env bash
# Pushing what is there already, and pushing one changed line: requests made, and the time of build and push beside a script of `curl`
# that makes only the requests that are needed, with the bytes ready. The project (benches/sixty) has 60 dependencies and is locked first.
#
#   benches/noop-push.sh [S2R [RUNS]]     default: a release build, and 20; prints the median of each, in milliseconds
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-20}

start_registry
image=127.0.0.1:$port/sixty
twin=127.0.0.1:$port/twin

cp -r benches/sixty "$work/app"
quietly "$s2r" lock "$work/app"
quietly "$s2r" build "$work/app" "$image" --push --progress none
quietly "$s2r" push "$image" "$twin" --progress none

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

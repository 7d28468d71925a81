#!/usr/bin/env bash
# The first build, byte code included, of a project that needs flask, django, numpy, pandas, sqlalchemy and psycopg2-binary, with all
# downloads at hand, beside `buildah bud --layers` of the equal Dockerfile: `pip install` of the same wheels from a server on this
# machine, upon the same base. For s2r not even the base's layers are there; for buildah the base is.
#
#   benches/bytecode.sh [S2R [RUNS]]     default: a release build, and 3; prints the median of each, in milliseconds
#
# Needs root, buildah, and PyPI and a Debian mirror for the downloads before.
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-3}
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver overlay)

mkdir "$work/app" "$work/base" "$work/wheels"
printf '%s\n' flask django numpy pandas sqlalchemy psycopg2-binary >"$work/app/requirements.txt"
echo pass >"$work/app/app.py"
echo pass >"$work/base/app.py"

# All downloads, and nothing that was made of them; no wheel has been compiled yet.
export XDG_DATA_HOME=$work/warm
quietly "$s2r" lock "$work/app"
"$s2r" build "$work/app" warm --bytecode none --progress none >/dev/null
"$s2r" build "$work/base" localhost/base --bytecode none -o "docker-archive:$work/base.tar" --progress none >/dev/null
"$s2r" rm warm localhost/base >/dev/null 2>&1
"$s2r" cache prune >/dev/null 2>&1

# The same wheels for pip.
python3 - "$work/app/pylock.toml" "$work/wheels" "$work/warm" <<'PYTHON'
import os, pathlib, re, sys

lock, wheels, store = sys.argv[1:]
by_hash = {path.name: path for path in pathlib.Path(store).rglob("*") if re.fullmatch("[0-9a-f]{64}", path.name)}
text = pathlib.Path(lock).read_text()
for name, sha256 in re.findall(r'name = "([^"]+\.whl)".*?sha256 = "([0-9a-f]{64})"', text):
    if sha256 in by_hash:
        os.link(by_hash[sha256], os.path.join(wheels, name))
PYTHON
coproc SERVER { exec python3 -u -m http.server --bind 127.0.0.1 --directory "$work/wheels" 0 2>/dev/null; }
servers+=("$SERVER_PID")
read -r line <&"${SERVER[0]}"
port=$(sed 's/.* port \([0-9]*\) .*/\1/' <<<"$line")

buildah "${storage[@]}" pull --quiet "docker-archive:$work/base.tar" >/dev/null
cat >"$work/app/Dockerfile" <<DOCKERFILE
FROM localhost/base:latest
COPY --chown=1001:0 requirements.txt ./
RUN pip install --no-cache-dir --no-index --find-links http://127.0.0.1:$port/ -r requirements.txt
COPY --chown=1001:0 . ./
DOCKERFILE

by_s2r() {
  for run in $(seq "$runs"); do
    cp -r --reflink=auto "$work/warm" "$work/data"
    XDG_DATA_HOME=$work/data milliseconds "$s2r" build "$work/app" "app:$run" --bytecode all --progress plain
    rm -rf "$work/data"
  done
}

by_buildah() {
  for run in $(seq "$runs"); do
    milliseconds buildah "${storage[@]}" bud --layers --no-cache --isolation chroot --network host --tag "localhost/app:$run" "$work/app"
  done
}

s2r_ms=$(by_s2r | median)
buildah_ms=$(by_buildah | median)
printf 's2r build --bytecode all: %6s ms\n' "$s2r_ms"
printf 'buildah bud --layers:     %6s ms\n' "$buildah_ms"
awk -v a="$buildah_ms" -v b="$s2r_ms" 'BEGIN { printf "times as fast:            %6.1f (to reach: 4)\n", a / b }'

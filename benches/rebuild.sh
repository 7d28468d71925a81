#!/usr/bin/env bash
# How long it takes to build again: nothing changed, and one line changed and pushed to a registry on this machine.
# The project (benches/sixty) has 60 dependencies and is locked first.
#
#   benches/rebuild.sh [RUNS]      default 20; prints the median of each, in milliseconds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin"
runs=${1:-20}

cargo build --release --locked --quiet
s2r=$PWD/target/release/s2r
work=$(mktemp -d)
registry=
finish() {
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
export XDG_DATA_HOME=$work/data

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<EOF
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
EOF
docker-registry serve "$work/registry.yml" >/dev/null 2>&1 &
registry=$!
image=127.0.0.1:$port/sixty

cp -r benches/sixty "$work/app"
"$s2r" lock "$work/app" >/dev/null
"$s2r" build "$work/app" "$image" --push >/dev/null

# Runs "$@" and prints how long it took in milliseconds.
milliseconds() {
  local begin=$EPOCHREALTIME
  "$@" >/dev/null 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
  local end=$EPOCHREALTIME
  echo $(((${end/./} - ${begin/./}) / 1000))
}

median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

no_op() { for _ in $(seq "$runs"); do milliseconds "$s2r" build "$work/app" "$image" --progress none; done; }

no_op_push() { for _ in $(seq "$runs"); do milliseconds "$s2r" build "$work/app" "$image" --push --progress none; done; }

one_line() {
  for run in $(seq "$runs"); do
    sed -i "s/^ANSWER = .*/ANSWER = \"$run\"/" "$work/app/wsgi.py"
    milliseconds "$s2r" build "$work/app" "$image" --push --progress none
  done
}

printf 'no-op build of a locked project:          %4s ms (to reach: 50)\n' "$(no_op | median)"
printf 'no-op build, pushed:                      %4s ms\n' "$(no_op_push | median)"
printf 'one line changed, built and pushed:       %4s ms (to reach: 100)\n' "$(one_line | median)"

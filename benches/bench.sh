# shellcheck shell=bash
# Sourced by the measurements beside it: the program that is measured, a folder for everything else that is gone at the end,
# a registry on this machine, and the arithmetic of milliseconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin"
unset PIP_FIND_LINKS PIP_NO_INDEX

work=$(mktemp -d)
export XDG_DATA_HOME=$work/data
# Processes that end with the measurement.
servers=()
# For measurements that leave more behind.
tidy() { :; }
finish() {
  tidy
  [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Sets s2r: the program that is named, or a release build.
program() {
  local named=${1:-}
  if [ -z "$named" ]; then
    cargo build --release --locked --quiet
    named=target/release/s2r
  fi
  s2r=$(realpath "$named")
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

until_listens() { until python3 -c "import socket; socket.create_connection(('127.0.0.1', $1))" 2>/dev/null; do sleep 0.05; done; }

# Starts an empty registry; sets port and registry, its process. Its access log goes to the file that is named, if one is.
start_registry() {
  rm -rf "$work/registry"
  port=$(free_port)
  cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
YAML
  docker-registry serve "$work/registry.yml" >"${1:-/dev/null}" 2>/dev/null &
  registry=$!
  servers+=("$registry")
  until_listens "$port"
}

# Runs "$@" without a word, unless it fails.
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }; }

# Runs "$@" and prints how long it took in milliseconds; what it said is in stdout and stderr of the folder.
milliseconds() {
  local begin=$EPOCHREALTIME end
  "$@" >"$work/stdout" 2>"$work/stderr" || { tail -n 20 "$work/stderr" >&2; exit 1; }
  end=$EPOCHREALTIME
  echo $(((${end/./} - ${begin/./}) / 1000))
}

# The middle one of the numbers of stdin, of which there are $runs.
median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

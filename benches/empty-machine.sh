#!/usr/bin/env bash
# A machine that has nothing builds and pushes one changed line: an empty store, a lock, and the tag that the registry has. The project
# (benches/sixty) has 60 dependencies. Nothing but the registry can be reached, so what is downloaded is what the registry has sent.
# Where the changed file is compiled an interpreter is needed, and that comes from Debian alone: the suite's index and its packages,
# which the registry's log does not count and the size of the store shows.
#
#   benches/empty-machine.sh [S2R [RUNS]]     default: a release build, and 10; prints medians
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-10}

start_registry "$work/access"
image=127.0.0.1:$port/sixty

cp -r benches/sixty "$work/app"

# Builds and pushes one change after the other, each with an empty store; all with this kind of byte code: measure KIND
measure() {
  local run lines begin end bytes closed=(HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9)
  [ "$1" != all ] || closed=()
  XDG_DATA_HOME=$work/full quietly "$s2r" lock --layers --bytecode "$1" "$work/app"
  XDG_DATA_HOME=$work/full quietly "$s2r" build "$work/app" "$image" --push --progress none --bytecode "$1"
  for run in $(seq "$runs"); do
    sed -i "s/^ANSWER = .*/ANSWER = \"$1 $run\"/" "$work/app/wsgi.py"
    rm -rf "$work/empty"
    sync
    lines=$(wc -l <"$work/access")
    begin=$EPOCHREALTIME
    # Nobody listens at the proxy: whatever asks for more than the registry fails.
    quietly env "${closed[@]}" XDG_DATA_HOME="$work/empty" \
      "$s2r" build "$work/app" "$image" --push --progress none --bytecode "$1"
    end=$EPOCHREALTIME
    # The log's lines may come a moment later than the answers.
    sleep 0.2
    tail -n "+$((lines + 1))" "$work/access" >"$work/requests"
    # Field 10 of a line is the length of the answer's body; that of a HEAD is not sent.
    bytes=$(awk '$6 !~ /HEAD/ { sum += $10 } END { print sum + 0 }' "$work/requests")
    echo "$(((${end/./} - ${begin/./}) / 1000)) $(wc -l <"$work/requests") $bytes $(du -sk "$work/empty" | cut -f 1)" >>"$work/$1"
  done
}

# The middle of a column of figures: middle KIND COLUMN
middle() { awk -v column="$2" '{ print $column }' "$work/$1" | median; }

for kind in none dependencies all; do
  measure "$kind"
  printf 'one line changed, on an empty machine, --bytecode %s\n' "$kind"
  printf '  built and pushed:     %6d ms (to reach: 500)\n' "$(middle "$kind" 1)"
  printf '  requests:             %6d\n' "$(middle "$kind" 2)"
  printf '  downloaded:           %6d kB (to reach: 1000)\n' $(($(middle "$kind" 3) / 1000))
  printf '  the store afterwards: %6d KiB\n' "$(middle "$kind" 4)"
done

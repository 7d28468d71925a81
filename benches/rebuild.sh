#!/usr/bin/env bash
# How long it takes to build again: nothing changed, and one line changed and pushed to a registry on this machine.
# The project (benches/sixty) has 60 dependencies and is locked first.
#
#   benches/rebuild.sh [S2R [RUNS]]     default: a release build, and 20; prints the median of each, in milliseconds
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-20}

start_registry
image=127.0.0.1:$port/sixty

cp -r benches/sixty "$work/app"
quietly "$s2r" lock "$work/app"
quietly "$s2r" build "$work/app" "$image" --push

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

#!/usr/bin/env bash
# The Flask example from an empty store, downloads and all: how long, and where the time went.
#
#   benches/first-build.sh [S2R [RUNS]]     default: a release build, and 3
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-3}

for run in $(seq "$runs"); do
  begin=$EPOCHREALTIME
  "$s2r" build examples/flask-gunicorn hello --json --progress plain \
    >"$work/summary.json" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  end=$EPOCHREALTIME
  python3 - "$work/summary.json" $(((${end/./} - ${begin/./}) / 1000)) "$run" <<'EOF'
import json, sys

summary = json.load(open(sys.argv[1]))
size = sum(layer["bytes"] for layer in summary["platforms"][0]["layers"])
stages = ", ".join(f"{stage['stage']} {stage['milliseconds']} ms" for stage in summary["stages"])
print(f"run {sys.argv[3]}: {sys.argv[2]} ms (to reach: 15000), layers {size / 1e6:.1f} MB (to reach: 28); {stages}")
EOF
  rm -rf "$work/data"
done

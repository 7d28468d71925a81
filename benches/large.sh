#!/usr/bin/env bash
# What a large file and many small ones cost when the code is edited: the service of examples/prediction-api with a model
# of 300 MB and without, and with 100,000 small files in 1,000 folders.
#
#   benches/large.sh [S2R [RUNS]]     default: a release build, and 10; prints the median of each, in milliseconds
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-10}

start_registry

# project NAME: a copy of the service, locked.
project() {
  cp -r examples/prediction-api "$work/$1"
  quietly "$s2r" lock "$work/$1"
}

no_op() { for _ in $(seq "$runs"); do milliseconds "$s2r" build "$work/$1" "127.0.0.1:$port/$1" --progress none; done; }

# edit NAME FILE: a line more, built and pushed.
edit() {
  for run in $(seq "$runs"); do
    echo "# $run" >>"$work/$1/$2"
    milliseconds "$s2r" build "$work/$1" "127.0.0.1:$port/$1" --push --progress none
  done
}

# measure NAME FILE TITLE BOUNDS
measure() {
  # What was written just now is hashed again.
  sleep 3
  milliseconds "$s2r" build "$work/$1" "127.0.0.1:$port/$1" --push --progress none >"$work/first"
  printf '%-28s first %6s ms   no-op %4s ms   edit, pushed %4s ms   %s\n' \
    "$3" "$(cat "$work/first")" "$(no_op "$1" | median)" "$(edit "$1" "$2" | median)" "$4"
}

project plain
measure plain wsgi.py 'the service' ''

project model
head -c 300000000 /dev/urandom >"$work/model/models/model.bin"
measure model wsgi.py 'with a model of 300 MB' '(to reach: no-op 100, edit 1.5 times that without it)'

project many
for folder in $(seq 1000); do
  mkdir -p "$work/many/data/$((folder % 10))/$folder"
  for file in $(seq 100); do
    echo "$folder $file" >"$work/many/data/$((folder % 10))/$folder/$file.txt"
  done
done
measure many wsgi.py 'with 100,000 small files' '(to reach: no-op 100, edit 300)'
measure many data/3/13/7.txt '  one of them edited' ''

#!/bin/sh
# Makes a git repository of the folder web/, with a release and a later commit, and builds the release's image
# from it: ./build.sh [IMAGE] [more arguments of `s2r build`]. S2R names the program, REPOSITORY the folder to use.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
s2r=${S2R:-s2r}
image=${1:-git-source}
[ $# -eq 0 ] || shift

if [ -z "${REPOSITORY:-}" ]; then
    REPOSITORY=$(mktemp -d)
    trap 'rm -rf "$REPOSITORY"' EXIT
fi

commit() {
    git -C "$REPOSITORY" add --all .
    git -C "$REPOSITORY" -c user.name=Ada -c user.email=ada@example.org commit --quiet --message "$1"
}

git init --quiet --initial-branch=main "$REPOSITORY"
cp -R "$here/web" "$REPOSITORY/web"
commit "The first release"
git -C "$REPOSITORY" tag v1.0
echo "Hello from main" > "$REPOSITORY/web/greeting.txt"
commit "What comes next"

# The same as -r v1.0; for a repository elsewhere the address is https://, ssh://, git:// or git@HOST:PATH.
"$s2r" build "file://$REPOSITORY#v1.0" "$image" --context-dir web "$@"

#!/usr/bin/env bash
# Five services as s2r builds them beside `buildah bud` of the Dockerfile that people write for each today: apt and pip upon Debian.
# Prints what each image weighs compressed (gzip, the sum of its layers) and how long a container takes to its first answer.
#
#   benches/buildah.sh [S2R [RUNS]]     default: a release build, and 5; prints the median of RUNS starts, in milliseconds
#
# The base is made by mmdebstrap (variant minbase), from MIRROR or else the first mirror of this machine's apt. RUNTIME names podman's
# runtime, SUITE Debian's suite. Needs root, podman, buildah, skopeo and mmdebstrap, a Debian mirror and PyPI.
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-5}
suite=${SUITE:-trixie}
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}
runtime=${RUNTIME:-$(command -v crun || command -v runc)}
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver overlay)
podman=(podman "${storage[@]}" --runtime "$runtime" --cgroup-manager cgroupfs)
flags=(--network host --ulimit nofile=20000:20000 --ulimit nproc=10000:10000)
# pip trusts whom this machine trusts.
printf '[global]\ncert = /authorities.crt\n' >"$work/pip.conf"
volumes=(--volume "/etc/ssl/certs/ca-certificates.crt:/authorities.crt:ro" --volume "$work/pip.conf:/etc/pip.conf:ro")
tidy() { "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true; }

# A mirror that stands still is used here as this machine uses it.
valid=$(apt-config dump --format '%f "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date)
echo "Debian $suite from $mirror" >&2
quietly mmdebstrap --variant=minbase ${valid:+--aptopt="$valid"} "$suite" "$work/base.tar" "$mirror"
mkdir "$work/base"
mv "$work/base.tar" "$work/base/"
printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' >"$work/base/Dockerfile"
quietly buildah "${storage[@]}" bud --tag localhost/debian "$work/base"

# The gzipped layers of the one image of an OCI layout, in bytes.
compressed_bytes() {
  python3 - "$1" <<'PYTHON'
import json, pathlib, sys

blobs = pathlib.Path(sys.argv[1], "blobs/sha256")
read = lambda digest: json.loads(blobs.joinpath(digest.removeprefix("sha256:")).read_text())
entry = json.loads(pathlib.Path(sys.argv[1], "index.json").read_text())["manifests"][0]
manifest = read(entry["digest"])
if "manifests" in manifest:
    manifest = read(manifest["manifests"][0]["digest"])
assert all(layer["mediaType"].endswith("gzip") for layer in manifest["layers"])
print(sum(layer["size"] for layer in manifest["layers"]))
PYTHON
}

# From `podman run` to an answer that is no error of the server's, in milliseconds: the median of the runs.
first_answer() {
  python3 - "$runs" "$1" "$2" "${podman[@]}" run --detach "${flags[@]}" <<'PYTHON'
import socket, statistics, subprocess, sys, time

runs, image, path, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
podman = command[: command.index("run")]
request = f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode()
LIMIT_SECONDS = 60


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            stream.sendall(request)
            line = stream.recv(64).split(b"\r\n")[0].split()
            return len(line) > 1 and 200 <= int(line[1]) < 500
    except OSError:
        return False


took = []
for run in range(runs + 1):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    begin = time.perf_counter()
    started = subprocess.run([*command, "--env", f"PORT={port}", "--env", "WEB_CONCURRENCY=2", image], check=True, text=True, stdout=subprocess.PIPE)
    while not answers(port):
        if time.perf_counter() - begin > LIMIT_SECONDS:
            subprocess.run([*podman, "logs", started.stdout.strip()])
            sys.exit(f"{image} does not answer")
        time.sleep(0.002)
    took.append((time.perf_counter() - begin) * 1000)
    subprocess.run([*podman, "rm", "--force", "--time", "0", started.stdout.strip()], check=True, stdout=subprocess.DEVNULL)
# The first one reads the image from the disk.
print(f"{statistics.median(took[1:]):.0f}")
PYTHON
}

printf '%-20s %12s %12s %6s %12s %12s\n' example s2r buildah share 's2r starts' 'buildah starts'
for pair in flask-uwsgi-nginx:/ rest-service:/notes/1 flask-site:/ prediction-api:'/predict?length=1&width=1' flask-gunicorn:/; do
  name=${pair%%:*} path=${pair#*:}
  quietly "$s2r" build "examples/$name" "localhost/s2r-$name" -o "oci:$work/s2r-$name" --no-test --progress none
  cp -r "examples/$name" "$work/$name"
  cp -r "benches/buildah/$name/." "$work/$name"
  quietly buildah "${storage[@]}" bud --isolation chroot --network host "${volumes[@]}" --tag "localhost/by-buildah-$name" "$work/$name"
  quietly buildah "${storage[@]}" push --compression-format gzip "localhost/by-buildah-$name" "oci:$work/buildah-$name"
  quietly "$s2r" export "localhost/s2r-$name" "docker-archive:$work/s2r-$name.tar"
  quietly "${podman[@]}" load --input "$work/s2r-$name.tar"
  ours=$(compressed_bytes "$work/s2r-$name") theirs=$(compressed_bytes "$work/buildah-$name")
  printf '%-20s %9.1f MB %9.1f MB %4d %% %9s ms %9s ms\n' "$name" "$((ours / 100000))e-1" "$((theirs / 100000))e-1" "$((100 * ours / theirs))" \
    "$(first_answer "localhost/s2r-$name" "$path")" "$(first_answer "localhost/by-buildah-$name" "$path")"
  rm -rf "${work:?}/$name" "$work/s2r-$name" "$work/s2r-$name.tar" "$work/buildah-$name"
done

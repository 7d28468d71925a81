#!/usr/bin/env bash
# From the start of a container to its first answer: the Flask example as s2r builds it, beside the same application put by
# `pip install` upon the same base (interpreter, start script, environment), byte code included, as pip makes it.
# The two take turns. RUNTIME=runc benches/start.sh picks the runtime; default: crun.
#
#   benches/start.sh [S2R [RUNS]]     default: a release build, and 10; prints the median of each, in milliseconds
#
# Needs root, podman and buildah, and PyPI.
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
runs=${2:-10}
runtime=${RUNTIME:-$(command -v crun || command -v runc)}
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver overlay)
podman=(podman "${storage[@]}" --runtime "$runtime" --cgroup-manager cgroupfs)
tidy() { "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true; }

# Builds a folder and puts the image where podman and buildah see it.
build() {
  "$s2r" build "$1" "localhost/$2" -o "docker-archive:$work/$2.tar" --progress none >/dev/null
  "${podman[@]}" load --quiet --input "$work/$2.tar" >/dev/null
}

build examples/flask-gunicorn by-s2r
mkdir "$work/base"
echo pass >"$work/base/app.py"
build "$work/base" base

cp -r examples/flask-gunicorn "$work/context"
cat >"$work/context/Dockerfile" <<'DOCKERFILE'
FROM localhost/base:latest
RUN rm app.py
COPY --chown=1001:0 . ./
RUN pip install --no-cache-dir -r requirements.txt
DOCKERFILE
quietly buildah "${storage[@]}" bud --isolation chroot --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
  --tag localhost/by-pip "$work/context"

python3 - "$runs" "${podman[@]}" <<'PYTHON'
import socket, statistics, subprocess, sys, time

runs, podman = int(sys.argv[1]), sys.argv[2:]
LIMIT_SECONDS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b" 200 " in stream.recv(64).split(b"\r\n")[0]
    except OSError:
        return False


def start(image):
    port = free_port()
    name = f"start-{port}"
    flags = ["--network", "host", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000"]
    command = [*podman, "run", "--detach", "--name", name, "--env", f"PORT={port}", *flags, image]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    while not answers(port):
        if time.perf_counter() - begin > LIMIT_SECONDS:
            sys.exit(f"{image} does not answer")
        time.sleep(0.002)
    took = (time.perf_counter() - begin) * 1000
    subprocess.run([*podman, "rm", "--force", "--time", "0", name], check=True, stdout=subprocess.DEVNULL)
    return took


images = {"by s2r": "localhost/by-s2r:latest", "by pip": "localhost/by-pip:latest"}
for image in images.values():
    start(image)
took = {name: [] for name in images}
for _ in range(runs):
    for name, image in images.items():
        took[name].append(start(image))
for name, times in took.items():
    print(f"{name}: {statistics.median(times):5.0f} ms from start to first answer ({min(times):.0f} to {max(times):.0f})")
PYTHON

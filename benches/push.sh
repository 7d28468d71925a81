#!/usr/bin/env bash
# Pushing layers that no compressor makes smaller to a registry on this machine: `s2r push` beside `skopeo copy` of the same image from
# the same folder. The two take turns, each time with an empty registry.
#
#   benches/push.sh [S2R [MEGABYTES [RUNS]]]     default: a release build, 500 and 3; prints the median of each, in milliseconds,
#                                                and the largest resident set of s2r
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
megabytes=${2:-500}
runs=${3:-3}

# The store is an OCI image layout; s2r makes the rest of it.
mkdir -p "$work/data/s2r/blobs/sha256"
python3 - "$work/data/s2r" "$megabytes" <<'PYTHON'
import hashlib, json, os, sys, zlib

store, megabytes = sys.argv[1], int(sys.argv[2])
LAYER, NAME = "application/vnd.oci.image.layer.v1.tar+gzip", "org.opencontainers.image.ref.name"


def put(chunks, media_type):
    digest, size, path = hashlib.sha256(), 0, f"{store}/new"
    with open(path, "wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
    os.rename(path, f"{store}/blobs/sha256/{digest.hexdigest()}")
    return {"mediaType": media_type, "digest": f"sha256:{digest.hexdigest()}", "size": size}


def layer(size):
    """A gzip stream of a tar of one file; stored, because the bytes are random."""
    header = bytearray(512)
    header[:8], header[100:108], header[124:136], header[156:157] = b"file.bin", b"0000644\0", b"%011o\0" % size, b"0"
    header[257:265], header[148:156] = b"ustar\x0000", b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    gzip = zlib.compressobj(0, wbits=31)
    yield gzip.compress(bytes(header))
    for _ in range(size >> 20):
        yield gzip.compress(os.urandom(1 << 20))
    yield gzip.compress(bytes(1024)) + gzip.flush()


# As images are: one large layer, a few of middle size, many small ones.
shares = [0.4, 0.2, 0.1, 0.1] + [0.02] * 10
layers = [put(layer(max(1, int(megabytes * share)) << 20), LAYER) for share in shares]
config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [part["digest"] for part in layers]}}
config = put([json.dumps(config).encode()], "application/vnd.oci.image.config.v1+json")
kind = "application/vnd.oci.image.manifest.v1+json"
manifest = put([json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()], kind)
manifest["annotations"] = {NAME: "docker.io/library/big:latest"}
with open(f"{store}/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
PYTHON
"$s2r" images >/dev/null

# Runs "$@" against an empty registry and appends kilobytes and milliseconds to a file: measure FILE COMMAND...
measure() {
  local file=$1
  shift
  local begin=$EPOCHREALTIME
  /usr/bin/time -f '%M' -o "$work/time" "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
  local end=$EPOCHREALTIME
  echo "$(cat "$work/time") $(((${end/./} - ${begin/./}) / 1000))" >>"$file"
  kill "$registry"
  wait "$registry" 2>/dev/null || true
  servers=()
}

for _ in $(seq "$runs"); do
  start_registry
  sync
  measure "$work/s2r" "$s2r" push big "127.0.0.1:$port/big:1" --progress none
  start_registry
  sync
  measure "$work/skopeo" skopeo copy --quiet --dest-tls-verify=false "oci:$work/data/s2r:docker.io/library/big:latest" "docker://127.0.0.1:$port/big:1"
done

time_of() { awk '{ print $2 }' "$1" | median; }
largest() { awk '{ print $1 }' "$1" | sort -n | tail -n 1; }

s2r_ms=$(time_of "$work/s2r")
skopeo_ms=$(time_of "$work/skopeo")
printf 's2r push of %d MB:    %6d ms, %3d MiB of memory (to reach: 64)\n' "$megabytes" "$s2r_ms" $(($(largest "$work/s2r") / 1024))
printf 'skopeo copy of the same: %4d ms, %3d MiB of memory\n' "$skopeo_ms" $(($(largest "$work/skopeo") / 1024))
awk -v a="$skopeo_ms" -v b="$s2r_ms" 'BEGIN { printf "times as fast:          %8.2f (to reach: 1)\n", a / b }'

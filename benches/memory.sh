#!/usr/bin/env bash
# Peak memory of a build whose one dependency is a wheel of 500 MB, half of it incompressible.
#
#   benches/memory.sh [S2R [MEGABYTES]]     default: a release build, and 500; prints the largest resident set of any process of the build
source "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
program "${1:-}"
megabytes=${2:-500}

mkdir -p "$work/index/simple/huge" "$work/app"
python3 - "$work/index/simple/huge" "$megabytes" <<'EOF'
import base64, hashlib, os, sys, zipfile

folder, megabytes = sys.argv[1], int(sys.argv[2])
name = "huge-1.0-py3-none-any.whl"
block = os.urandom(1 << 20)
text = b"a line that repeats itself and differs little\n" * 23_000
record = []
with zipfile.ZipFile(f"{folder}/{name}", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
    def add(path, chunks):
        digest, size = hashlib.sha256(), 0
        with wheel.open(zipfile.ZipInfo(path), "w", force_zip64=True) as member:
            for chunk in chunks:
                member.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        hash = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={hash},{size}\n")

    def random_chunks():
        for number in range(megabytes // 2):
            yield number.to_bytes(8, "big") + block[8:]
    add("huge/random.bin", random_chunks())
    add("huge/text.txt", (text for _ in range(megabytes // 2)))
    add("huge/__init__.py", [b""])
    add("huge-1.0.dist-info/METADATA", [b"Metadata-Version: 2.1\nName: huge\nVersion: 1.0\n"])
    add("huge-1.0.dist-info/WHEEL", [b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"])
    wheel.writestr("huge-1.0.dist-info/RECORD", "".join(record) + "huge-1.0.dist-info/RECORD,,\n")

digest = hashlib.sha256()
with open(f"{folder}/{name}", "rb") as file:
    while chunk := file.read(1 << 20):
        digest.update(chunk)
with open(f"{folder}/index.html", "w") as page:
    page.write(f'<!DOCTYPE html><a href="{name}#sha256={digest.hexdigest()}">{name}</a>')
print(f"wheel: {os.path.getsize(f'{folder}/{name}') / 1e6:.0f} MB, {megabytes} MiB unpacked", file=sys.stderr)
EOF
port=$(free_port)
python3 -m http.server --bind 127.0.0.1 --directory "$work/index" "$port" >/dev/null 2>&1 &
servers+=("$!")
printf 'huge==1.0\n' >"$work/app/requirements.txt"
printf 'print("never run")\n' >"$work/app/app.py"
until_listens "$port"

export PIP_EXTRA_INDEX_URL=http://127.0.0.1:$port/simple
/usr/bin/time -f '%M %e' -o "$work/time" "$s2r" build "$work/app" huge --progress none >/dev/null
read -r kilobytes seconds <"$work/time"
printf 'peak memory of one process: %d MiB (to reach: 128), %s s\n' $((kilobytes / 1024)) "$seconds"

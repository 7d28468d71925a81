"""Makes a wheel with one member of 500 MB that hardly compresses, to see what memory it takes.

    python3 benches/large_wheel.py FOLDER
"""

import pathlib
import random
import sys
import zipfile

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
numbers = random.Random(0)
info = "large-1.0.dist-info"
with zipfile.ZipFile(folder / "large-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    with wheel.open("large/data.bin", "w", force_zip64=True) as member:
        for _ in range(500):
            member.write(numbers.randbytes(960_000) + bytes(40_000))
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")

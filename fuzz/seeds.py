#!/usr/bin/env python3
"""Writes the seeds that are archives into fuzz/corpus, so that what is in them can be read here.

Seeds that are text, and inputs that were finds, are kept as they are.
"""

import gzip
import io
import lzma
import pathlib
import struct
import tarfile
import zipfile
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, name, contents):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(contents)


def zipped(*members, method=zipfile.ZIP_DEFLATED, comment=b""):
    """A zip; a member is a name, its contents and, if it matters, its mode with the type's bits."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, contents, *mode in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            info.create_system = 3
            info.external_attr = (mode[0] if mode else 0o100644) << 16
            archive.writestr(info, contents)
        archive.comment = comment
    return out.getvalue()


def header(name, kind=b"0", size=0, link=b"", mode=0o644, magic=b"ustar\x0000"):
    block = bytearray(512)
    block[0 : len(name[:100])] = name[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + len(link[:100])] = link[:100]
    block[257:265] = magic
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def entry(name, contents=b"", **fields):
    padding = -len(contents) % 512
    return header(name, size=len(contents), **fields) + contents + b"\0" * padding


def tar(*entries):
    """Without the two empty blocks at the end, which readers do not need and which make up most of a small one."""
    return b"".join(entries)


def pax(**records):
    text = b""
    for key, value in records.items():
        record = b" %s=%s\n" % (key.encode(), value)
        length = len(record) + 1
        while len(b"%d" % length) + len(record) != length:
            length += 1
        text += b"%d" % length + record
    return entry(b"PaxHeaders/x", text, kind=b"x")


def ar(*members):
    out = b"!<arch>\n"
    for name, contents in members:
        out += b"%-16s%-12d%-6d%-6d%-8d%-10d`\n" % (name, 0, 0, 0, 644, len(contents))
        out += contents + b"\n" * (len(contents) % 2)
    return out


def zips():
    plain = zipped(("a.py", "x = 1\n" * 9), ("b/c.txt", ""))
    write("zip", "plain", plain)
    write("zip", "stored", zipped(("a", "abc"), method=zipfile.ZIP_STORED))
    write("zip", "empty", zipped())
    write("zip", "comment", zipped(("a", "abc"), comment=b"PK\x05\x06" + bytes(18)))
    write("zip", "climbs", zipped(("../a", "x"), ("/etc/passwd", "x")))
    write("zip", "backslash", zipped(("a\\b.txt", "x")))
    write("zip", "twice", zipped(("a", "x"), ("b", "y")).replace(b"b\x00\x00", b"a\x00\x00"))
    write("zip", "bomb", zipped(("zeros", b"\0" * 1_500_000)))
    write("zip", "before", b"#!/bin/sh\n" + plain)
    write("zip", "cut", plain[:-30])
    # A directory that announces more than there is.
    at = plain.rindex(b"PK\x05\x06")
    write("zip", "many", plain[: at + 8] + b"\xff\xff\xff\xff" + plain[at + 12 :])
    central = plain.index(b"PK\x01\x02")
    huge = bytearray(plain)
    huge[central + 24 : central + 28] = b"\xfe\xff\xff\xff"
    write("zip", "size", bytes(huge))
    overlap = bytearray(plain)
    second = plain.index(b"PK\x01\x02", central + 4)
    overlap[second + 42 : second + 46] = struct.pack("<I", 0)
    write("zip", "overlap", bytes(overlap))
    encrypted = bytearray(plain)
    encrypted[central + 8] |= 1
    write("zip", "encrypted", bytes(encrypted))

    write("source_zip", "plain", zipped(("app/", ""), ("app/app.py", "x"), ("app/run", "#!/bin/sh\n", 0o100755)))
    write("source_zip", "link", zipped(("a", "b"), ("link", "a", 0o120777)))
    write("source_zip", "link-out", zipped(("link", "../beside", 0o120777), ("link/x", "x")))
    write("source_zip", "link-root", zipped(("link", "/", 0o120777)))
    write("source_zip", "below-a-link", zipped(("d", "..", 0o120777), ("d/beside", "mine")))
    write("source_zip", "backslash", zipped(("a\\..\\..\\beside", "x"), ("b\\c.txt", "y")))
    write("source_zip", "setuid", zipped(("su", "x", 0o104755), ("fifo", "", 0o010644), ("dev", "", 0o060644)))
    write("source_zip", "finder", zipped(("__MACOSX/._a", "x"), ("a", "y"), (".DS_Store", "z")))
    write("source_zip", "tar", tar(entry(b"app.py", b"x = 1\n")))
    write("source_zip", "bomb", zipped(("zeros", b"\0" * 900_000)))


def tars():
    plain = tar(entry(b"app/", kind=b"5", mode=0o755), entry(b"app/app.py", b"x = 1\n"), entry(b"app/run", b"#!", mode=0o755)) + b"\0" * 1024
    links = tar(
        entry(b"d/", kind=b"5"),
        entry(b"d/file", b"contents"),
        entry(b"d/soft", kind=b"2", link=b"file"),
        entry(b"d/hard", kind=b"1", link=b"d/file"),
    )
    long_name = b"n" * 150
    gnu = tar(
        entry(b"././@LongLink", long_name + b"\0", kind=b"L", magic=b"ustar  \0"),
        entry(long_name, b"x", magic=b"ustar  \0"),
        entry(b"././@LongLink", b"t" * 120 + b"\0", kind=b"K", magic=b"ustar  \0"),
        entry(b"soft", kind=b"2", link=b"t" * 100, magic=b"ustar  \0"),
    )
    wide = tar(pax(path=b"p/" + b"q" * 120, size=b"3"), entry(b"short", b"abc"), pax(linkpath=b"../beside"), entry(b"l", kind=b"2", link=b"x"))
    hostile = {
        "climbs": tar(entry(b"../beside", b"mine"), entry(b"/etc/passwd", b"mine")),
        "dots": tar(entry(b"a/../../beside", b"mine"), entry(b"./././a", b"x")),
        "soft-out": tar(entry(b"l", kind=b"2", link=b"../beside"), entry(b"l", b"mine")),
        "folder-out": tar(entry(b"l", kind=b"2", link=b".."), entry(b"l/beside", b"mine")),
        "hard-out": tar(entry(b"h", kind=b"1", link=b"../beside"), entry(b"h", b"mine")),
        "hard-soft": tar(entry(b"l", kind=b"2", link=b".."), entry(b"h", kind=b"1", link=b"l/beside")),
        "folder-then-link": tar(entry(b"d/", kind=b"5"), entry(b"d", kind=b"2", link=b"../beside"), entry(b"d/x", b"mine")),
        "devices": tar(entry(b"null", kind=b"3"), entry(b"sda", kind=b"4"), entry(b"pipe", kind=b"6"), entry(b"su", b"x", mode=0o6755)),
        "negative": tar(header(b"n", size=b"\xff" * 12)),
        "large": tar(header(b"n", size=b"77777777777\0")),
        "base256": tar(header(b"n", size=b"\x80" + b"\0" * 10 + b"\x02") + b"ab".ljust(512, b"\0")),
        "loop": tar(entry(b"a", kind=b"2", link=b"b"), entry(b"b", kind=b"2", link=b"a"), entry(b"a/x", b"y")),
        "pax-size": tar(pax(size=b"99999999999999999999"), entry(b"x", b"abc")),
        "pax-cut": tar(entry(b"p", b"9999 path=x\n", kind=b"x"), entry(b"x", b"abc")),
        "global": tar(entry(b"g", b"30 comment=" + b"c" * 18 + b"\n", kind=b"g"), entry(b"x", b"abc")),
        "sparse": tar(entry(b"s", b"x" * 10, kind=b"S", magic=b"ustar  \0")),
        "nul": tar(pax(path=b"a\0b"), entry(b"x", b"abc")),
    }
    for target in ("source_tar", "layer"):
        write(target, "plain", plain)
        write(target, "links", links)
        write(target, "gnu", gnu)
        write(target, "pax", wide)
        write(target, "plain.gz", gzip.compress(plain, mtime=0))
        write(target, "members.gz", gzip.compress(plain[:700], mtime=0) + gzip.compress(plain[700:], mtime=0))
        write(target, "bomb.gz", gzip.compress(tar(entry(b"zeros", b"\0" * 900_000)), mtime=0))
        write(target, "cut", plain[:700])
        for name, contents in hostile.items():
            write(target, name, contents)
    write("source_tar", "plain.xz", lzma.compress(plain))
    write("source_tar", "git", tar(entry(b"pax_global_header", b"52 comment=" + b"0" * 40 + b"\n", kind=b"g"), entry(b"app-1/", kind=b"5"), entry(b"app-1/a", b"x")))
    write("layer", "whiteouts", tar(entry(b"d/", kind=b"5"), entry(b"d/.wh.gone"), entry(b"d/.wh..wh..opq"), entry(b".wh..wh.plnk/x", b"y")))
    write("layer", "whiteout-out", tar(entry(b"l", kind=b"2", link=b".."), entry(b"l/.wh.beside"), entry(b".wh..", b""), entry(b".wh.", b"")))
    write("layer", "replaced", tar(entry(b"a", b"x"), entry(b"a/", kind=b"5"), entry(b"a/b", b"y"), entry(b"a", b"z")))


def packages():
    control = b"Package: tool\nVersion: 1-1\nArchitecture: amd64\nDescription: a tool\n long text\n"
    data = tar(
        entry(b"./", kind=b"5", mode=0o755),
        entry(b"./bin/", kind=b"5", mode=0o755),
        entry(b"./bin/tool", b"ELF", mode=0o4755),
        entry(b"./bin/alias", kind=b"1", link=b"./bin/tool"),
        entry(b"./bin/link", kind=b"2", link=b"../usr/lib/x"),
        entry(b"./usr/share/doc/tool/copyright", b"text"),
        entry(b"./etc/passwd", b"root:x:0:0\n"),
    )
    climbs = tar(entry(b"./../x", b"y"), entry(b"/abs", b"y"))
    below = tar(entry(b"./lib", kind=b"2", link=b"/etc"), entry(b"./lib/x", b"y"), entry(b"./usr/lib/x", b"z"))
    both = tar(entry(b"./bin/a", b"1"), entry(b"./usr/bin/a", b"2"), entry(b"./usr/bin/", kind=b"5"), entry(b"./usr/bin/a", kind=b"2", link=b"b"))
    lost = tar(entry(b"./x", kind=b"1", link=b"./gone"), entry(b"./y", kind=b"1", link=b"./y"))
    for name, files in {"plain": data, "climbs": climbs, "below-a-link": below, "merged": both, "lost-link": lost}.items():
        write("deb", name, b"== control\n" + control + b"== data\n" + files)
    inner = tar(entry(b"./control", control))
    for name, member in {"raw": b"data.tar", "raw.gz": b"data.tar.gz", "raw.xz": b"data.tar.xz"}.items():
        pack = {b"": bytes, b".gz": lambda it: gzip.compress(it, mtime=0), b".xz": lzma.compress}[member[8:]]
        write("deb", name, ar((b"debian-binary", b"2.0\n"), (b"control.tar", inner), (member, pack(data))))
    write("deb", "no-data", ar((b"debian-binary", b"2.0\n"), (b"control.tar", inner)))
    write("deb", "status", b"== control\nPackage: other\nVersion: 1\n\nPackage: two\n== data\n" + data)

    plain = ar((b"debian-binary", b"2.0\n"), (b"odd/", b"abc"), (b"end", b"xy"))
    write("ar", "plain", plain)
    write("ar", "cut", plain[:-3])
    write("ar", "padding", ar((b"odd", b"abc"))[:-1])
    write("ar", "size", plain.replace(b"4         `", b"9999999999`", 1))
    write("ar", "wide", plain.replace(b"4         `", b"18446744073709551615`"[:11], 1))
    write("ar", "signed", plain.replace(b"4         `", b"-4        `", 1))
    write("ar", "empty", b"!<arch>\n")
    write("ar", "thin", b"!<thin>\n" + plain[8:])


def wheels():
    info = "demo-1.0.dist-info"
    basic = {f"{info}/METADATA": "Name: demo\nVersion: 1.0\n", f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n", f"{info}/RECORD": "demo/__init__.py,sha256=x,7\n"}

    def text(**more):
        files = basic | more
        return "".join(f"== {name}\n{contents}" for name, contents in files.items()).encode()

    write("wheel", "plain", text(**{"demo/__init__.py": "x = 1\n"}))
    write("wheel", "scripts", text(**{f"{info}/entry_points.txt": "[console_scripts]\ndemo = demo.cli:main\n[gui_scripts]\ng = a:b.c [x]\n", "demo-1.0.data/scripts/demo-tool*": "#!python -u\nprint(1)\n", "demo-1.0.data/scripts/demo": "#!pythonw\n"}))
    write("wheel", "data", text(**{"demo-1.0.data/data/bin/python": "x", "demo-1.0.data/headers/h.h": "h", "demo-1.0.data/purelib/p.py": "p", "demo-1.0.data/platlib/demo/__init__.py": "q", "demo-1.0.data/data/lib64/x": "l"}))
    write("wheel", "out", text(**{"demo-1.0.data/data/../../../etc/passwd": "x", "demo-1.0.data/other/x": "y", "../x": "z"}))
    write("wheel", "script-out", text(**{f"{info}/entry_points.txt": "[console_scripts]\n../../bin/sh = a:b\npython = a:b\n. = a:b\n"}))
    write("wheel", "two-infos", text(**{"other-2.dist-info/WHEEL": "Wheel-Version: 1.0\n", "other-2.dist-info/RECORD": ""}))
    write("wheel", "version", text(**{f"{info}/WHEEL": "Wheel-Version: 9.9\nRoot-Is-Purelib: maybe\n"}))
    write("wheel", "record", text(**{f"{info}/RECORD": '"a,""b""",sha256=,\n"open\n'}))
    write("wheel", "file-and-folder", text(**{"demo": "x", "demo/": "", "demo/a.py": "y"}))
    write("wheel", "compiled", text(**{"demo/__pycache__/a.cpython-313.pyc": "x", "demo/a.py": "y = 2\n", "demo/tests/t.py": ""}))
    write("wheel", "packed", zipped(*basic.items(), ("demo/a.py", "x = 1\n" * 50), ("demo/link", "a.py", 0o120777)))


if __name__ == "__main__":
    zips()
    tars()
    packages()
    wheels()

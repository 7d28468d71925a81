"""Builds a wheel by its project's own backend, as PEP 517 and PEP 660 have it.

Runs in the sandbox and never goes into an image. Three commands, because what a backend needs is
only known after it was asked, and because everything is fetched outside:

    declare SOURCE OUT              what pyproject.toml says is needed    -> OUT/declared.json
    ask     SOURCE OUT KIND         what the backend says is needed too   -> OUT/asked.json
    build   SOURCE OUT KIND         the wheel                             -> OUT/built.json

SOURCE is a folder, or an archive that is unpacked beside it; KIND is `wheel` or `editable`. A program of
COMPILERS that is called and not there leaves its name in OUT/missing.
"""

import datetime
import fnmatch
import importlib
import json
import os
import re
import shlex
import shutil
import struct
import sys
import sysconfig
import tarfile
import zipfile

try:
    import tomllib
except ModuleNotFoundError:  # Before Python 3.11; pip brings what it was made from.
    from pip._vendor import tomli as tomllib

# What pip takes where a project names no backend.
LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
LEGACY_REQUIRES = ["setuptools>=40.8.0"]
# Beside this program: /build/source in the sandbox.
UNPACKED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "source")
# What tells that a project compiles something.
NATIVE_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".pyx", ".f", ".f90", ".rs", ".s", ".S", ".go")
NATIVE_REQUIRES = (
    "cffi", "cmake", "cython", "maturin", "meson", "mypy", "nanobind", "ninja", "numpy",
    "pybind11", "rust", "scikit-build", "swig",
)
NATIVE_WORDS = ("ext_modules", "cffi_modules", "Extension(", "cmdclass")
# Programs that the builder's build packages bring, besides the compilers that Python was built with.
COMPILERS = ("ar", "c++", "cc", "cpp", "g++", "gcc", "gmake", "ld", "make", "pkg-config", "pkgconf")
# Tools that know of a version what git says, and the file that says what git would.
ASKING_GIT = ("versioningit", "versioneer")
ARCHIVAL = ".git_archival.txt"
# Stands for a program that is not there: leaves its name, and fails as a shell does.
STAND_IN = "#!{python} -IS\nopen({note!r}, 'w').close()\nraise SystemExit(127)\n"
# Folders whose files a backend does not compile.
SKIPPED = {".git", "node_modules", "static", "docs", "doc", "__pycache__"}
# A program header that leads to the dynamic section, and entries of that section.
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5
# More libraries are not told.
MAX_LIBRARIES = 200


def main():
    if sys.argv[1] == "git":
        return answer_as_git(archival(sys.argv[2]), sys.argv[3:])
    command, source, out = sys.argv[1:4]
    kind = sys.argv[4] if len(sys.argv) > 4 else "wheel"
    os.makedirs(out, exist_ok=True)
    folder = unpacked(source)
    if not os.path.exists(os.path.join(folder, "pyproject.toml")) and not any(
        os.path.exists(os.path.join(folder, name)) for name in ("setup.py", "setup.cfg")
    ):
        sys.exit("there is neither pyproject.toml nor setup.py nor setup.cfg in " + folder)
    system = build_system(folder)
    if command == "declare":
        declared = {"requires": system["requires"], "is_native": is_native(folder, system)}
        return write(out, "declared", declared)
    os.chdir(folder)
    note_missing_compilers(out)
    stand_in_for_git(folder, system, out)
    backend = load(system, folder)
    if command == "ask":
        hook = getattr(backend, "get_requires_for_build_" + kind, None)
        return write(out, "asked", {"requires": list(hook() if hook else [])})
    hook = getattr(backend, "build_" + kind, None)
    if hook is None:
        sys.exit(f"the backend {system['backend']} cannot build an {kind} install")
    name = hook(out)
    write(out, "built", {"file": name, "libraries": libraries(os.path.join(out, name))})


def unpacked(source):
    """The folder of the project; an archive is unpacked once."""
    if os.path.isdir(source):
        return source
    if not os.path.isdir(UNPACKED):
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(UNPACKED)
        else:
            with tarfile.open(source) as archive:
                extract(archive)
    entries = [name for name in os.listdir(UNPACKED) if name != "pax_global_header"]
    if len(entries) == 1 and os.path.isdir(os.path.join(UNPACKED, entries[0])):
        return os.path.join(UNPACKED, entries[0], os.environ.get("S2R_SUBDIRECTORY", ""))
    return os.path.join(UNPACKED, os.environ.get("S2R_SUBDIRECTORY", ""))


def extract(archive):
    """Unpacks a tar archive as `filter="data"` does: nothing outside the folder, no devices. Pythons that
    are older than that filter (3.11.4), as Debian bookworm's is, get it done here."""
    if hasattr(tarfile, "data_filter"):
        return archive.extractall(UNPACKED, filter="data")
    root = os.path.realpath(UNPACKED)
    for member in archive:
        member.name = member.name.lstrip("/")
        place = os.path.join(root, member.name)
        places = [place]
        if member.issym():
            places.append(os.path.join(os.path.dirname(place), member.linkname))
        elif member.islnk():
            places.append(os.path.join(root, member.linkname))
        elif not (member.isreg() or member.isdir()):
            sys.exit(member.name + " of the archive is neither file nor folder nor link")
        if any(os.path.commonpath([root, os.path.realpath(path)]) != root for path in places):
            sys.exit(member.name + " of the archive lies or leads outside of it")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        archive.extract(member, UNPACKED)


def build_system(folder):
    """The table `build-system`, with what pip takes for what it lacks."""
    try:
        with open(os.path.join(folder, "pyproject.toml"), "rb") as file:
            table = tomllib.load(file).get("build-system")
    except FileNotFoundError:
        table = None
    if table is None:
        return {"requires": LEGACY_REQUIRES, "backend": LEGACY_BACKEND, "path": []}
    return {
        "requires": table.get("requires", LEGACY_REQUIRES),
        "backend": table.get("build-backend", LEGACY_BACKEND),
        "path": table.get("backend-path", []),
    }


def is_native(folder, system):
    """Whether something is compiled: there are sources for it, or the project speaks of it."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED]
        if any(name.endswith(NATIVE_SUFFIXES) for name in files):
            return True
    if any(word in text.lower() for text in system["requires"] for word in NATIVE_REQUIRES):
        return True
    try:
        with open(os.path.join(folder, "setup.py"), encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return False
    return any(word in text for word in NATIVE_WORDS)


def note_missing_compilers(out):
    """Puts a stand-in behind the search path for each compiler that is not there."""
    notes, programs = os.path.join(out, "missing"), os.path.join(out, "programs")
    os.makedirs(notes, exist_ok=True)
    os.makedirs(programs, exist_ok=True)
    configured = [sysconfig.get_config_var(name) or "" for name in ("CC", "CXX", "AR", "LDSHARED")]
    names = set(COMPILERS).union(line.split()[0] for line in configured if line.strip())
    for name in sorted(names):
        if "/" in name or shutil.which(name):
            continue
        path = os.path.join(programs, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(STAND_IN.format(python=sys.executable, note=os.path.join(notes, name)))
        os.chmod(path, 0o755)
    os.environ["PATH"] += os.pathsep + programs


def stand_in_for_git(folder, system, out):
    """Puts a program in place of git, for tools that ask nobody else, where a file says what git would."""
    asked = [text.lower() for text in system["requires"]]
    asks = any(name in text for text in asked for name in ASKING_GIT)
    if not (asks or os.path.exists(os.path.join(folder, "versioneer.py"))) or not archival(folder):
        return
    programs = os.path.join(out, "git")
    os.makedirs(programs, exist_ok=True)
    path = os.path.join(programs, "git")
    words = [sys.executable, os.path.abspath(__file__), "git", folder]
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexec " + shlex.join(words) + ' "$@"\n')
    os.chmod(path, 0o755)
    os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]


def archival(folder):
    """What the file of a folder or of one above it says of a commit; nothing if git has not filled it in."""
    while not os.path.isfile(os.path.join(folder, ARCHIVAL)):
        if folder == os.path.dirname(folder):
            return {}
        folder = os.path.dirname(folder)
    with open(os.path.join(folder, ARCHIVAL), encoding="utf-8") as file:
        lines = [line.strip().partition(": ") for line in file]
    facts = {key: value for key, _, value in lines if "$Format" not in value}
    return facts if facts.get("node") and facts.get("describe-name") else {}


def answer_as_git(facts, words):
    """Answers as git does where that commit is checked out and nothing is changed. What the file does not say is
    refused: a guess would be a wrong version."""
    words = [word for word in words if word != "--no-pager"]
    command, options = (words or [""])[0], words[1:]
    answers = {
        ("rev-parse", "--is-inside-work-tree"): "true",
        ("rev-parse", "--git-dir"): ".git",
        ("rev-parse", "--abbrev-ref"): "HEAD",
        ("rev-parse", "HEAD"): facts["node"],
        ("ls-files", "--error-unmatch"): "",
    }
    if command == "symbolic-ref":
        return 1  # No branch is checked out.
    if command == "describe":
        answer = described(facts, options)
    elif command in ("show", "log"):
        answer = told_of_commit(facts, options)
    else:
        answer = answers.get((command, (options or [""])[0]))
    if answer is None:
        question = shlex.join(["git", *words])
        sys.exit(f"git is not in a build, and {ARCHIVAL} does not answer `{question}`")
    if answer:
        print(answer)


def described(facts, options):
    """`git describe --tags`; none where another tag might be meant."""
    name, distance = facts["describe-name"], "0"
    parts = name.rsplit("-", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].startswith("g"):
        name, distance = parts[:2]
    is_long, words = "--long" in options, iter(options)
    for word in words:
        option, _, pattern = word.partition("=")
        if option in ("--match", "--exclude"):
            pattern = pattern or next(words, "")
            if fnmatch.fnmatchcase(name, pattern) != (option == "--match"):
                return None
        elif option not in ("--tags", "--long", "--always", "--dirty", "HEAD"):
            return None
    if "--tags" not in options:
        return None
    return f"{name}-{distance}-g{facts['node'][:7]}" if is_long or distance != "0" else name


def told_of_commit(facts, options):
    """`git show -s --format=...`; the author's date is taken to be the commit's."""
    texts = [word.partition("=")[2] for word in options if word.startswith(("--format=", "--pretty="))]
    others = {word for word in options if not word.startswith(("--format=", "--pretty="))}
    if len(texts) != 1 or not others <= {"-s", "-1", "HEAD"} or "node-date" not in facts:
        return None
    date = datetime.datetime.fromisoformat(facts["node-date"].replace("Z", "+00:00"))
    seconds, day = str(int(date.timestamp())), date.strftime("%Y-%m-%d %H:%M:%S %z")
    known = {"%H": facts["node"], "%h": facts["node"][:7], "%n": "\n", "%%": "%"}
    known.update({"%ct": seconds, "%at": seconds, "%ci": day, "%ai": day})
    known.update({"%cI": date.isoformat(), "%aI": date.isoformat()})
    pieces = re.split("(%[ac][tiI]|%.)", texts[0].removeprefix("format:"))
    told = [known.get(piece) if piece.startswith("%") else piece for piece in pieces]
    return None if None in told else "".join(told)


def libraries(wheel):
    """The shared libraries that files of a wheel link and that do not lie in it."""
    linked, own = set(), set()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            own.add(name.rsplit("/", 1)[-1])
            with archive.open(name) as file:
                if file.read(4) == b"\x7fELF":
                    linked |= set(needed(b"\x7fELF" + file.read()))
    return sorted(linked - own)[:MAX_LIBRARIES]


def needed(elf):
    """The names of DT_NEEDED (System V ABI, chapter 5) of a 64-bit little-endian file, else nothing."""
    if elf[4:6] != b"\x02\x01":
        return []
    try:
        offset, = struct.unpack_from("<Q", elf, 32)
        size, count = struct.unpack_from("<HH", elf, 54)
        headers = [struct.unpack_from("<IIQQQQ", elf, offset + at * size) for at in range(count)]
        loads = [(address, place, length) for kind, _, place, address, _, length in headers
                 if kind == PT_LOAD]
        dynamic = next((head for head in headers if head[0] == PT_DYNAMIC), None)
        if dynamic is None:
            return []
        entries = []
        for at in range(dynamic[2], dynamic[2] + dynamic[5], 16):
            tag, value = struct.unpack_from("<qQ", elf, at)
            if tag == DT_NULL:
                break
            entries.append((tag, value))
        table = next((value for tag, value in entries if tag == DT_STRTAB), 0)
        table = next((table - address + place for address, place, length in loads
                      if address <= table < address + length), None)
        if table is None:
            return []
        names = [table + value for tag, value in entries if tag == DT_NEEDED]
        return [elf[at:elf.index(b"\0", at)].decode("ascii", "replace") for at in names]
    except (struct.error, ValueError, OverflowError):
        return []


def load(system, folder):
    sys.path[:0] = [os.path.join(folder, path) for path in system["path"]]
    module, _, attributes = system["backend"].partition(":")
    backend = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        backend = getattr(backend, name)
    return backend


def write(out, name, value):
    with open(os.path.join(out, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(value, file)


if __name__ == "__main__":
    sys.exit(main())

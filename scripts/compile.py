# Compiles Python sources to byte code (PEP 552); runs none of them.
#
# Run by s2r with the image's own interpreter, outside of the image, and never put into one.
# Standard input, any number of chunks: the name of the file to write, the number of sources, and
# for each source its path and its bytes. Names, paths and sources follow their length; numbers have
# 32 bits, little endian. Standard output: a byte for each chunk, `1` for one that is written.
# A chunk's file: a line that names its format, then for each source a .pyc after its length.
# Length 0: the source does not compile. pip leaves such files too.
#
# What marshal writes depends on which strings were interned and shared before. So every chunk meets
# the same interpreter: a fork of one that has compiled nothing, without hash randomisation. The
# chunk's bounds depend on the sources alone. Imports are few: this runs with the smallest part of the
# library, which has no byte code of its own yet. Who runs it bounds its memory, time and output.

import gc
import marshal
import os
import sys
from _imp import source_hash
from _frozen_importlib_external import MAGIC_NUMBER

# The import system keys its hash of a source by the magic number.
KEY = int.from_bytes(MAGIC_NUMBER, "little")
FAULTS = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError, LookupError)


def pyc(path, source, flags):
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        return MAGIC_NUMBER + flags + source_hash(KEY, source) + marshal.dumps(code)
    except FAULTS:
        return b""


def write(name, sources, flags):
    with open(name, "wb") as out:
        out.write(b"s2r-pyc/1\n")
        for path, source in sources:
            code = pyc(path.decode("utf-8", "surrogateescape"), source, flags)
            out.write(len(code).to_bytes(4, "little"))
            out.write(code)


def main():
    # Unchecked: the import system trusts it. Checked: it compares a hash of the source first.
    flags = (3 if sys.argv[1] == "1" else 1).to_bytes(4, "little")
    given, told = sys.stdin.buffer, sys.stdout.buffer

    def number():
        return int.from_bytes(given.read(4), "little")

    gc.disable()
    while length := number():
        name = given.read(length)
        sources = [(given.read(number()), given.read(number())) for _ in range(number())]
        child = os.fork()
        if child == 0:
            try:
                write(name, sources, flags)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        told.write(b"1" if status == 0 else b"0")
        told.flush()


main()

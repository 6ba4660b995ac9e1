"""What EPICS Base makes of macros: a line in, a line out.

In:  definitions (`A=1,B=2`) and a text, each as hex, `-` for none.
Out: the expanded text as hex (`-` if it is empty), and 1 if something could not be expanded, else 0. `X` where the reference dies or
     does not return, as for some references that are not closed.
"""

import ctypes

import oracle

CAPACITY = 1 << 16


def text(word):
    return b"" if word == "-" else bytes.fromhex(word)


def answer(com, line):
    definitions, template = map(text, line.split())
    handle = ctypes.c_void_p()
    com.macCreateHandle(ctypes.byref(handle), None)
    pairs = ctypes.c_void_p()
    com.macParseDefns(handle, definitions, ctypes.byref(pairs))
    com.macInstallMacros(handle, pairs)
    out = ctypes.create_string_buffer(CAPACITY)
    length = com.macExpandString(handle, template, out, ctypes.c_long(CAPACITY))
    com.macDeleteHandle(handle)
    return f"{out.value.hex() or '-'} {int(length < 0)}"


def main():
    com = oracle.library()
    com.macExpandString.restype = ctypes.c_long
    # Warnings go to a log that nobody reads.
    com.eltc(0)
    oracle.answer_all(lambda line: answer(com, line))


main()

"""What EPICS Base makes of expressions: a line in, a line out.

In:  the expression as hex, then the bits of VAL and of A to U as hex numbers.
Out: `E n` for a text that postfix() refuses with error n, `F` for an evaluation that fails, `X` where the
     reference dies (-2^31 % -1 divides by an exception), else the bits of the result and of A to U.
"""

import ctypes
import struct

import oracle

ARGUMENTS = 21


def load():
    com = oracle.library()
    com.postfix.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_short)]
    com.postfix.restype = ctypes.c_long
    com.calcPerform.argtypes = [
        ctypes.POINTER(ctypes.c_double),
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_char_p,
    ]
    com.calcPerform.restype = ctypes.c_long
    return com


def bits(number):
    return struct.pack(">d", number).hex()


def number(text):
    return struct.unpack(">d", bytes.fromhex(text))[0]


def answer(com, line):
    words = line.split()
    expression = bytes.fromhex(words[0])
    code = ctypes.create_string_buffer(10 * len(expression) + 100)
    error = ctypes.c_short()
    if com.postfix(expression, code, ctypes.byref(error)):
        return f"E {error.value}"
    value = ctypes.c_double(number(words[1]))
    arguments = (ctypes.c_double * ARGUMENTS)(*map(number, words[2:]))
    if com.calcPerform(arguments, ctypes.byref(value), ctypes.cast(code, ctypes.c_char_p)):
        return "F"
    return " ".join([bits(value.value), *map(bits, arguments)])


def main():
    com = load()
    oracle.answer_all(lambda line: answer(com, line))


main()

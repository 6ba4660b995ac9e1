"""What EPICS Base makes of an access security file: the file and questions in, rights out.

In:  the file as hex, the values of the inputs A and B, then questions, each `group,level,user,host`.
Out: `bad` if the file is refused; else for each question 0, 1 or 2 (none, read, write), with a `t` behind it if writes are trapped.
     `X` where the reference dies or does not return.
"""

import ctypes

import oracle

P, S = ctypes.POINTER, ctypes.Structure


class List(S):
    _fields_ = [("next", ctypes.c_void_p), ("previous", ctypes.c_void_p), ("count", ctypes.c_int)]


class Base(S):
    _fields_ = [("users", List), ("hosts", List), ("groups", List)]


class Group(S):
    _fields_ = [
        ("next", ctypes.c_void_p), ("previous", ctypes.c_void_p), ("name", ctypes.c_char_p), ("inputs", List), ("rules", List),
        ("members", List), ("values", P(ctypes.c_double)), ("bad", ctypes.c_ulong), ("changed", ctypes.c_ulong),
    ]


class Client(S):
    _fields_ = [
        ("next", ctypes.c_void_p), ("previous", ctypes.c_void_p), ("member", ctypes.c_void_p), ("user", ctypes.c_char_p),
        ("host", ctypes.c_void_p), ("private", ctypes.c_void_p), ("callback", ctypes.c_void_p), ("level", ctypes.c_int),
        ("access", ctypes.c_int), ("trap", ctypes.c_int),
    ]


def ask(com, question, kept):
    group, level, user, host = question.split(",")
    member, client = ctypes.c_void_p(), ctypes.c_void_p()
    name, user, host = group.encode(), ctypes.create_string_buffer(user.encode()), ctypes.create_string_buffer(host.encode())
    kept += [name, user, host]
    com.asAddMember(ctypes.byref(member), name)
    com.asAddClient(ctypes.byref(client), member, int(level), user, host)
    found = ctypes.cast(client, P(Client)).contents
    return f"{found.access}{'t' if found.trap else ''}"


def answer(com, line):
    text, a, b, *questions = line.split()
    if com.asInitMem(b"" if text == "-" else bytes.fromhex(text), None) != 0:
        return "bad"
    base = ctypes.cast(ctypes.c_void_p.in_dll(com, "pasbase"), P(Base)).contents
    at = base.groups.next
    while at:
        group = ctypes.cast(at, P(Group)).contents
        group.values[0], group.values[1], group.changed = float(a), float(b), 0xFFFFFF
        com.asComputeAsg(ctypes.c_void_p(at))
        at = group.next
    kept = []
    return " ".join(ask(com, question, kept) for question in questions)


def main():
    com = oracle.library()
    # Complaints go to a log that nobody reads.
    com.eltc(0)
    oracle.answer_all(lambda line: answer(com, line))


main()

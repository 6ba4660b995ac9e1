"""What EPICS Base makes of files of databases: a list of files in, what is loaded out.

In:  a directory, and for each file its name and its macros, each as hex, `-` for none.
Out: words. `S0` or `S-1` for each file (whether it was loaded); for each record of a type in turn `R:name:type` and what differs from
     the type's defaults: `F:field:value`, `I:name:value` for its info items, `A:name` for its aliases, `J:name:value` for their
     items. Names and values are hex; integers are decimal, real numbers the hex digits of their bytes, links their text.
     `X` where the reference dies or does not return.
"""

import ctypes
import os
import struct
import sys

import oracle

oracle.PATIENCE = 60

STRING, CHAR, UCHAR, SHORT, USHORT, LONG, ULONG, INT64, UINT64, FLOAT, DOUBLE, ENUM, MENU, DEVICE = range(14)
INLINK, OUTLINK, FWDLINK, NOACCESS = range(14, 18)
LINKS = (INLINK, OUTLINK, FWDLINK)
CODES = {
    CHAR: "b", UCHAR: "B", SHORT: "h", USHORT: "H", LONG: "i", ULONG: "I", INT64: "q", UINT64: "Q", FLOAT: "f", DOUBLE: "d",
    ENUM: "H", MENU: "H", DEVICE: "H",
}
# Room for a link; the reference's own are smaller.
LINK_SIZE = 256
# Of `text` in `struct link`.
LINK_TEXT = 24
IS_ALIAS = 2

P, S = ctypes.POINTER, ctypes.Structure


class Node(S):
    pass


Node._fields_ = [("next", ctypes.c_void_p), ("previous", ctypes.c_void_p)]


class List(S):
    _fields_ = [("node", Node), ("count", ctypes.c_int)]


class FldDes(S):
    _fields_ = [
        ("prompt", ctypes.c_char_p), ("name", ctypes.c_char_p), ("extra", ctypes.c_char_p), ("type", ctypes.c_void_p),
        ("index", ctypes.c_short), ("special", ctypes.c_short), ("kind", ctypes.c_int), ("bits", ctypes.c_uint),
        ("base", ctypes.c_int), ("promptgroup", ctypes.c_short), ("interest", ctypes.c_short), ("asl", ctypes.c_int),
        ("initial", ctypes.c_char_p), ("ftPvt", ctypes.c_void_p), ("size", ctypes.c_short), ("offset", ctypes.c_ushort),
    ]


class RecordType(S):
    _fields_ = [
        ("node", Node), ("attributes", List), ("records", List), ("devices", List), ("cdefs", List), ("name", ctypes.c_char_p),
        ("no_fields", ctypes.c_short), ("no_prompt", ctypes.c_short), ("no_links", ctypes.c_short), ("no_aliases", ctypes.c_short),
        ("link_ind", ctypes.c_void_p), ("sorted_names", ctypes.c_void_p), ("sorted_ind", ctypes.c_void_p),
        ("val", ctypes.c_void_p), ("val_index", ctypes.c_short), ("fields", P(P(FldDes))), ("rset", ctypes.c_void_p),
        ("rec_size", ctypes.c_int),
    ]


class RecordNode(S):
    _fields_ = [
        ("node", Node), ("record", ctypes.c_void_p), ("name", ctypes.c_char_p), ("infos", List), ("flags", ctypes.c_int),
        ("order", ctypes.c_uint), ("aliased", ctypes.c_void_p),
    ]


class InfoNode(S):
    _fields_ = [("node", Node), ("name", ctypes.c_char_p), ("string", ctypes.c_char_p), ("pointer", ctypes.c_void_p)]


class Base(S):
    _fields_ = [("menus", List), ("types", List)]


def each(first, kind):
    while first:
        item = ctypes.cast(first, P(kind)).contents
        yield item
        first = item.node.next


def text(word):
    return b"" if word == "-" else bytes.fromhex(word)


def shown(value):
    return value.hex() or "-"


def types(base):
    return each(ctypes.cast(base, P(Base)).contents.types.node.next, RecordType)


def fields(kind):
    return [kind.fields[index].contents for index in range(kind.no_fields)]


def size_of(field):
    if field.kind in LINKS:
        return LINK_SIZE
    if field.kind == STRING:
        return field.size
    return struct.calcsize(CODES[field.kind]) if field.kind in CODES else 64


def give_room(base):
    """Record types of files have no C structure: lay their fields out behind the common ones."""
    all_types = list(types(base))
    ai = next(kind for kind in all_types if kind.name == b"ai")
    common = {}
    for field in fields(ai):
        if field.name == b"VAL":
            end = field.offset
            break
        common[field.name] = field
    for kind in all_types:
        if kind.rec_size or kind.no_fields == 0:
            continue
        at = end
        for field in fields(kind):
            known = common.get(field.name)
            if known:
                field.offset, field.size = known.offset, known.size
                continue
            at = (at + 15) & ~15
            field.offset = at
            at += size_of(field)
        kind.rec_size = at + 16


def value(record, field):
    at = record + field.offset
    if field.kind == STRING:
        return shown(ctypes.string_at(at))
    if field.kind in LINKS:
        return shown(ctypes.cast(at + LINK_TEXT, P(ctypes.c_char_p)).contents.value or b"")
    code = CODES.get(field.kind)
    if code is None:
        return None
    raw = ctypes.string_at(at, struct.calcsize(code))
    return raw.hex() if code in "fd" else str(struct.unpack("=" + code, raw)[0])


def items(letter, infos):
    return [f"{letter}:{shown(info.name)}:{shown(info.string)}" for info in each(infos.node.next, InfoNode)]


def dump(core, base):
    out = []
    for kind in types(base):
        # A record's name is in the record; nobody shares its memory with it.
        nodes = [node for node in each(kind.records.node.next, RecordNode)]
        if not nodes:
            continue
        described = fields(kind)[1:]
        entry = core.dbAllocEntry(base)
        core.dbFindRecordType(entry, kind.name)
        if core.dbCreateRecord(entry, b"no:such:record:" + kind.name) != 0:
            raise RuntimeError("no record of defaults")
        default = [node for node in each(kind.records.node.next, RecordNode)][-1].record
        defaults = [value(default, field) for field in described]
        aliases = {}
        for node in nodes:
            if node.flags & IS_ALIAS:
                aliases.setdefault(node.record, []).append(node)
        for node in nodes:
            if node.flags & IS_ALIAS:
                continue
            out.append(f"R:{shown(node.name)}:{kind.name.decode()}")
            for field, before in zip(described, defaults):
                now = value(node.record, field)
                if now != before:
                    out.append(f"F:{field.name.decode()}:{now}")
            out += items("I", node.infos)
            for alias in aliases.get(node.record, []):
                out.append(f"A:{shown(alias.name)}")
                out += items("J", alias.infos)
    return out


PATH = b""


def load(core, words):
    os.chdir(words[0])
    base = ctypes.c_void_p.in_dll(core, "pdbbase")
    out = []
    for name, macros in zip(words[1::2], words[2::2]):
        if name.endswith(b".dbd"):
            status = core.dbLoadDatabase(name, b".:" + PATH, macros)
            give_room(base)
        elif name.endswith(b".substitutions"):
            status = core.dbLoadTemplate(name, macros)
        else:
            status = core.dbLoadRecords(name, macros)
        out.append(f"S{0 if status == 0 else -1}")
    return out + dump(core, base)


def answer(core, line):
    # What is loaded once stays: each list of files gets a process of its own.
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        if not os.environ.get("CANTER_SHOW"):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        words = list(map(text, line.split()))
        with os.fdopen(write, "w") as pipe:
            pipe.write(" ".join(load(core, words)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    _, status = os.waitpid(child, 0)
    return found if status == 0 else "X"


def main():
    sys.stdout, saved = sys.stderr, sys.stdout
    from epicscorelibs import ioc

    sys.stdout = saved
    core = ioc.dbCore
    global PATH
    PATH = ioc.DEFAULT_DBD_PATH.encode()
    core.dbAllocEntry.restype = ctypes.c_void_p
    core.dbAllocEntry.argtypes = [ctypes.c_void_p]
    for name, count in (("dbFindRecordType", 2), ("dbCreateRecord", 2)):
        getattr(core, name).restype = ctypes.c_long
        getattr(core, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    core.dbLoadTemplate.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    ioc.iocshRegisterCommon()
    if ioc.dbLoadDatabase(b"base.dbd", ioc.DEFAULT_DBD_PATH.encode(), None) or ioc.registerRecordDeviceDriver(ioc.pdbbase):
        raise RuntimeError("no record types")
    oracle.answer_all(lambda line: answer(core, line))


main()

"""Every public name, method, keyword and default of the installed PyEpics, beside ours."""

import ast
import inspect
import re
import subprocess

import introspect
import pytest
from canter.epics.compat import CaChannel, ca_util
from peers import PYTHON, compare, introspect as theirs, needs_peers

MODULES = [
    "", ".pv", ".ca", ".dbr", ".device", ".alarm", ".motor", ".devices", ".multiproc", ".autosave", ".utils",
    ".devices.ad_mca", ".devices.mca", ".devices.scaler", ".devices.scan", ".devices.struck", ".devices.xspress3",
    ".compat",
]  # fmt: skip

STRUCTURES = "a structure of ctypes, for who calls libca by hand: there is none here"
LIBCA = "how PyEpics is called by libca: nothing calls back here"

#: What is not as in PyEpics, and why.
DEVIATIONS = {
    **{
        f"epics.dbr.{name}": STRUCTURES
        for name in (
            "TimeStamp",
            "ctrl_char",
            "ctrl_double",
            "ctrl_enum",
            "ctrl_float",
            "ctrl_long",
            "ctrl_short",
            "string_t",
            "time_char",
            "time_double",
            "time_enum",
            "time_float",
            "time_long",
            "time_short",
            "time_string",
        )
    },
    **{
        f"epics.dbr.{name}": LIBCA
        for name in (
            "access_rights_handler_args",
            "cast_args",
            "connection_args",
            "event_handler_args",
            "make_callback",
        )
    },
    "epics.ca.ca_printf": "the function of libca that prints: there is none",
    "epics.utils.clib_search_path": "where libca is: there is none",
    **{
        f"epics.devices.{module}.{name}": "a function of elsewhere that this module calls there"
        for module, names in {
            "ad_mca": ("caput", "poll"),
            "mca": ("caget", "caput", "poll"),
            "scaler": ("poll",),
            "scan": ("poll",),
            "xspress3": ("caget", "caput", "poll"),
        }.items()
        for name in names
    },
}


@needs_peers
def test_every_name_keyword_and_default_is_there():
    there = theirs(*("epics" + module for module in MODULES))
    here = introspect.public(["canter.epics" + module for module in MODULES])
    wrong = compare(there, here, "epics", "canter.epics", DEVIATIONS)
    assert not wrong, "\n" + "\n".join(wrong)


#: Parts of these modules that nobody calls from outside.
WITHIN = {"_caput"}


def signatures(text, owner):
    """Functions, or methods of a class, in a text of Python 2: their names, with parameters and defaults."""
    if owner:
        text = text[text.index(f"class {owner}") :]
    heads = re.findall(r"^( *)def (\w+)\((.*?)\)\s*:", text, re.MULTILINE | re.DOTALL)
    indent = "    " if owner else ""
    found = {}
    for space, name, parameters in heads:
        if space == indent and not name.startswith("__") and name not in WITHIN:
            arguments = ast.parse(f"def it({parameters}): pass").body[0].args
            defaults = [ast.unparse(one) for one in arguments.defaults]
            found[name] = [one.arg for one in arguments.args], defaults, arguments.vararg and arguments.vararg.arg
    return found


def signature(function):
    full = inspect.getfullargspec(function)
    return full.args, [repr(one) for one in full.defaults or ()], full.varargs


@needs_peers
@pytest.mark.parametrize("name, owner", [("ca_util", None), ("CaChannel", "CaChannel")])
def test_what_pyepics_has_as_a_text_is_there_as_a_module(name, owner):
    """The compatibility modules of PyEpics are texts that are never run: their heads are compared."""
    where = "import epics.compat, os; print(os.path.dirname(epics.compat.__file__))"
    folder = subprocess.run([PYTHON, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    with open(f"{folder}/{name}.py", encoding="utf-8") as file:
        wanted = signatures(file.read(), owner)
    ours = {"ca_util": ca_util, "CaChannel": CaChannel.CaChannel}[name]
    public = {word: one for word, one in wanted.items() if not word.startswith("_")}
    assert len(public) > 20
    missing = [word for word in public if not hasattr(ours, word)]
    assert not missing
    different = {word: one for word, one in public.items() if signature(getattr(ours, word)) != one}
    assert not different

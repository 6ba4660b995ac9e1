"""Every public name, method, keyword and default of the installed PyEpics, beside ours."""

import introspect
from peers import compare, introspect as theirs, needs_peers

MODULES = [
    "", ".pv", ".ca", ".dbr", ".device", ".alarm", ".motor", ".devices", ".multiproc", ".autosave", ".utils",
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
        f"epics.devices.{name}": "not written yet"
        for name in (
            "AD_Camera",
            "AD_FilePlugin",
            "AD_ImagePlugin",
            "AD_OverlayPlugin",
            "AD_PerkinElmer",
            "DXP",
            "MCA",
            "Mca",
            "MultiXMAP",
            "ROI",
            "Scan",
            "Struck",
        )
    },
}


@needs_peers
def test_every_name_keyword_and_default_is_there():
    there = theirs(*("epics" + module for module in MODULES))
    here = introspect.public(["canter.epics" + module for module in MODULES])
    wrong = compare(there, here, "epics", "canter.epics", DEVIATIONS)
    assert not wrong, "\n" + "\n".join(wrong)

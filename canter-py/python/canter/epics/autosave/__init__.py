"""``epics.autosave``: values of PVs to files and back, in the form of the module autosave of synApps."""

from .save_restore import AutoSaver, restore_pvs, save_pvs

__all__ = ["AutoSaver", "restore_pvs", "save_pvs"]

"""``epicsPV``: a `PV` with the methods of the class of this name that was made on CaChannel."""
# ruff: noqa: N801, N802, N999 - names are those that scripts call

from __future__ import annotations

from ..pv import PV


class epicsPV(PV):
    """A PV.

    Args:
        pvname: its name.
        wait: for the connection.
    """

    def __init__(self, pvname=None, wait=True):
        if not pvname:
            raise ValueError("epicsPV: the name of a PV is missing")
        # Before anything can tell of a value.
        self.monitorState = False
        self._monitor_index = None
        super().__init__(pvname)
        if wait:
            self.wait_for_connection()

    def _getCallback(self, pvname=None, value=None, **kw):
        self.monitorState = True

    def setMonitor(self):
        """Has `checkMonitor` tell of changes from now on."""
        if self._monitor_index is None:
            self._monitor_index = self.add_callback(callback=self._getCallback)
        self.monitorState = False

    def clearMonitor(self):
        """Ends what `setMonitor` began."""
        if self._monitor_index is not None:
            self.remove_callback(self._monitor_index)
            self._monitor_index = None
        self.monitorState = False

    def checkMonitor(self):
        """Whether there was a change since it was asked last."""
        changed, self.monitorState = self.monitorState, False
        return changed

    def getControl(self):
        """Units, precision, limits, alarm, by their names."""
        return self.get_ctrlvars()

    def array_get(self, count=None):
        """The value."""
        return self.getw(count=count)

    def getw(self, count=None):
        """The value."""
        return self.get(count=count)

    def getValue(self):
        """The value that came last."""
        return self.get()

    def putw(self, value, wait=False):
        """Puts a value."""
        self.put(value, wait=wait)

    def putWait(self, value):
        """Puts a value, and waits until it is complete."""
        self.put(value, wait=True)

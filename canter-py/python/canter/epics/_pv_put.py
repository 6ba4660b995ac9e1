"""Puts and callbacks of a `PV`."""

from __future__ import annotations

from typing import Any

from .. import _arguments
from . import ca, dbr
from ._channels import as_keywords, as_put, lock, run


class PutAndCallbacks:
    """A `PV`, as far as it puts and calls."""

    pvname: str
    ftype: Any
    last_error: Any
    callbacks: dict[int, tuple]
    connection_callbacks: list
    access_callbacks: list
    connected: Any
    _args: dict[str, Any]
    _channel: Any
    _callbacks: dict[int, tuple] | None
    _put_complete: bool | None
    get: Any
    get_ctrlvars: Any
    wait_for_connection: Any
    _snapshot: Any

    __slots__ = ()

    def put(self, value, wait=False, timeout=30.0, use_complete=False, callback=None, callback_data=None):
        """Puts a value: 1, or -1 if completion was waited for and did not come; ``None`` if there is
        no connection.
        """
        _arguments.optional(callback, pv=self.pvname)
        if not self.wait_for_connection():
            return None
        if dbr.native_type(self.ftype) == dbr.ENUM and isinstance(value, str):
            value = self._state(value)
        if not (use_complete or callback is not None):
            result, self.last_error = ca.put_channel(self._channel, value, wait, timeout)
            return result
        self._put_complete = False if use_complete else self._put_complete

        def done(_result, error):
            self.last_error = error
            self._put_complete = True if use_complete else self._put_complete
            if callback is not None:
                callback(pvname=self.pvname, **as_keywords(callback_data))

        self._channel.client._dispatcher.ensure()
        if not wait:
            self._channel.core.start_put(done, as_put(self._channel.core, value), "completed", 1e9)
            return 1
        result, error = ca.put_channel(self._channel, value, True, timeout)
        done(None, error)
        return result

    def _state(self, label: str) -> int:
        if self._args["enum_strs"] is None:
            self.get_ctrlvars()
        states = self._args["enum_strs"] or ()
        if label in states:
            return states.index(label)
        try:
            return int(label, 0)
        except ValueError:
            raise ValueError(f'"{self.pvname}" has no state "{label}"; it has {", ".join(states)}') from None

    @property
    def put_complete(self):
        """Whether the last put with ``use_complete`` is complete."""
        return self._put_complete

    def add_callback(self, callback=None, index=None, run_now=False, with_ctrlvars=True, **kw):
        """Adds a callback for changes of the value; its number."""
        if not callable(callback):
            return None
        with lock:
            if index is None:
                index = 1 + max(self.callbacks, default=0)
            self.callbacks[index] = (callback, kw)
        if self.connected:
            if with_ctrlvars and self._args["lower_ctrl_limit"] is None:
                self.get_ctrlvars(warn=False)
            if run_now:
                self.get(as_string=True)
                self.run_callback(index)
        return index

    def remove_callback(self, index=None):
        """Removes a callback by its number; the only one without."""
        if index is None and len(self.callbacks) == 1:
            index = next(iter(self.callbacks))
        self.callbacks.pop(index, None)

    def clear_callbacks(self, with_access_callback=False, with_connect_callback=False):
        """Removes all callbacks for values, and the others as asked."""
        self.callbacks.clear()
        if with_access_callback:
            self.access_callbacks.clear()
        if with_connect_callback:
            self.connection_callbacks.clear()

    def run_callbacks(self):
        """Runs all callbacks with what is known now."""
        for index in sorted(self._callbacks or ()):
            self.run_callback(index)

    def run_callback(self, index):
        """Runs one callback with what is known now."""
        found = self.callbacks.get(index)
        if found is None:
            return
        function, more = found
        known = self._snapshot()
        known.update(more)
        known["cb_info"] = (index, self)
        run(lambda: function(**known))

    def poll(self, evt=1.0e-4, iot=1.0):
        """Lets callbacks run."""
        ca.poll(evt=evt, iot=iot)

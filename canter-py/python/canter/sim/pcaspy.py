"""IOCs as a server and a driver, in the manner of pcaspy.

>>> from canter.sim.pcaspy import Driver, SimpleServer
>>> server = SimpleServer(udp_port=0)
>>> server.createPV("LAB:", {"RAND": {"prec": 3}, "LIMIT": {"value": 10.0, "unit": "mm"}})
>>> class MyDriver(Driver):
...     def write(self, reason, value):
...         self.setParam("RAND", value / 2)
...         self.setParam(reason, value)
...         self.updatePVs()
...         return True
>>> driver = MyDriver()
>>> with server, server.ioc.client() as client:
...     client.put("LAB:LIMIT", 4.0, wait=True)
...     float(client.get("LAB:RAND"))
2.0
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _arguments
from .._errors import UNNAMED, UnknownPv, bad, named, printable
from ._desk import SKIP, Put
from ._errors import Refuse
from ._ioc import IOC


class Alarm:
    """Alarm statuses."""

    NO_ALARM, READ_ALARM, WRITE_ALARM, HIHI_ALARM, HIGH_ALARM, LOLO_ALARM, LOW_ALARM, STATE_ALARM = range(8)
    COS_ALARM, COMM_ALARM, TIMEOUT_ALARM, HW_LIMIT_ALARM, CALC_ALARM, SCAN_ALARM, LINK_ALARM, SOFT_ALARM = range(8, 16)
    BAD_SUB_ALARM, UDF_ALARM, DISABLE_ALARM, SIMM_ALARM, READ_ACCESS_ALARM, WRITE_ACCESS_ALARM = range(16, 22)


class Severity:
    """Alarm severities."""

    NO_ALARM, MINOR_ALARM, MAJOR_ALARM, INVALID_ALARM = range(4)


_TYPES = {"float": "double", "int": "long", "short": "short", "char": "char", "string": "string", "enum": "enum"}
_ZERO: dict[str, Any] = {"float": 0.0, "int": 0, "short": 0, "char": 0, "string": "", "enum": 0}
_DEFAULT_PORT = "default"
_NUMBERS = ("lolim", "hilim", "low", "high", "lolo", "hihi", "adel", "mdel")
#: Elements of a PV: more of them are no circuit's to carry.
_MOST_ELEMENTS = 2**24

_KNOWN = set(
    "type count enums states prec unit lolim hilim low high lolo hihi adel mdel scan asyn asg port value".split()
)


class _Param:
    """A PV: what was set, and what was told."""

    def __init__(self, name: str, reason: str, info: Mapping[str, Any]) -> None:
        if not isinstance(info, Mapping):
            raise bad(f"PV {reason!a}: {info!a} is no description: give a dictionary")
        unknown = sorted(map(str, set(info) - _KNOWN))
        if unknown:
            raise bad(f"PV {reason!r}: {', '.join(unknown)}; there are {', '.join(sorted(_KNOWN))}")
        self.name = name
        self.reason = reason
        self.info = dict(info)
        self.type = str(info.get("type", "float"))
        if self.type not in _TYPES:
            raise bad(f"PV {reason!r}: type {self.type!r}; there are {', '.join(_TYPES)}")
        self.check(self.info)
        self.count = int(info.get("count", 1))
        self.period = float(info.get("scan", 0.0))
        value = info.get("value", _ZERO[self.type])
        if self.count > 1 and self.type != "char" and not hasattr(value, "__len__"):
            value = [value] * self.count
        self.value = value
        self.alarm: int | None = None
        self.severity: int | None = None
        self.changed = False
        self.has_states = self.type == "enum"

    def check(self, info: Mapping[str, Any]) -> None:
        """Refuses what cannot be, before anything is changed."""
        where = f"PV {self.reason!r}: "
        for key, given in info.items():
            if key == "count":
                _arguments.whole(given, f"{where}count", 1, _MOST_ELEMENTS, self.name)
            elif key == "prec":
                _arguments.whole(given, f"{where}prec", 0, 32767, self.name)
            elif key == "scan":
                if given != 0:
                    _arguments.period(given, f"{where}scan", self.name)
            elif key in _NUMBERS:
                number = _arguments.number(given)
                if number is None or number - number != 0:
                    raise bad(f"{where}{key}={given!a}: give a finite number", self.name)
            elif key in ("enums", "states"):
                if not isinstance(given, (list, tuple)):
                    raise bad(f"{where}{key}={given!a}: give a list", self.name)
            elif key == "unit" and not isinstance(given, str):
                raise bad(f"{where}unit={given!a}: give a text", self.name)

    def description(self) -> dict[str, Any]:
        info = self.info
        value = self.value
        given: dict[str, Any] = {}
        if self.type == "enum":
            given["states"] = list(info.get("enums", [])) or ["0"]
            if "states" in info:
                given["severities"] = list(info["states"])
        elif self.type == "char" and self.count > 1:
            given["type"] = "text"
            value = value if isinstance(value, str) else ""
            given["capacity"] = self.count
        else:
            given["type"] = _TYPES[self.type]
            if self.count > 1:
                given["capacity"] = self.count
        given["value"] = value
        if "unit" in info:
            given["units"] = info["unit"]
        if "prec" in info:
            given["precision"] = info["prec"]
        for key, (low, high) in {"warning": ("low", "high"), "alarm": ("lolo", "hihi")}.items():
            # Both 0 are no limits, as in pcaspy.
            pair = (float(info.get(low, 0.0)), float(info.get(high, 0.0)))
            if pair[0] < pair[1]:
                given[key] = pair
        shown = (float(info.get("lolim", 0.0)), float(info.get("hilim", 0.0)))
        if shown[0] < shown[1]:
            given["display"] = shown
        if "mdel" in info:
            given["value_deadband"] = info["mdel"]
        if "adel" in info:
            given["archive_deadband"] = info["adel"]
        return given


class _Manager:
    """Servers whose PVs wait for their drivers, by port, as in pcaspy."""

    def __init__(self) -> None:
        self.server: SimpleServer | None = None


manager = _Manager()


class SimpleServer:
    """Serves PVs, and has a `Driver` behind them.

    It serves as soon as there is a driver; `process` only lets time pass. Settings are those of `canter.sim.IOC`;
    without them it serves 127.0.0.1, or ``EPICS_CAS_INTF_ADDR_LIST``, and the port of ``EPICS_CAS_SERVER_PORT`` or
    ``EPICS_CA_SERVER_PORT``, 5064 otherwise.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._params: dict[str, dict[str, _Param]] = {}
        self._ioc: IOC | None = None
        self._drivers: list[Driver] = []
        manager.server = self

    @property
    def ioc(self) -> IOC:
        """The IOC, once there is a driver."""
        if self._ioc is None:
            raise RuntimeError("there is no Driver yet: make one after createPV")
        return self._ioc

    def createPV(self, prefix: str, pvdb: Mapping[str, Mapping[str, Any]]) -> None:  # noqa: N802
        """Adds PVs: names behind the prefix, and what they are (``type``, ``count``, ``enums``, ``prec`` …)."""
        if not isinstance(pvdb, Mapping):
            raise bad(f"pvdb={pvdb!a}: give a dictionary of PVs, each with a dictionary that describes it")
        for reason, info in pvdb.items():
            port = str(info.get("port", _DEFAULT_PORT)) if isinstance(info, Mapping) else _DEFAULT_PORT
            of_port = self._params.setdefault(port, {})
            if reason in of_port:
                raise bad(f"there are two PVs with the reason {reason!r}")
            of_port[reason] = _Param(prefix + reason, reason, info)

    def _start(self, driver: Driver) -> None:
        from ._env import settings_of_environment

        self._drivers.append(driver)
        params = self._params.get(driver.port, {})
        if self._ioc is None:
            every = [one for of_port in self._params.values() for one in of_port.values()]
            given = {**settings_of_environment(), **self._settings}
            self._ioc = IOC({one.name: one.description() for one in every}, **given)
        for param in params.values():
            self._ioc.on_put(param.name, driver._decider(param))
            if type(driver).read is not Driver.read:
                self._ioc.on_get(param.name, driver._reader(param))
        driver._began(self._ioc)

    def process(self, delay: float) -> None:
        """Lets time pass: the IOC serves all the while."""
        time.sleep(_arguments.span(delay, "delay"))

    def initAccessSecurityFile(self, filename: str, **subst: str) -> None:  # noqa: N802
        """Is not there.

        Raises:
            NotImplementedError: rights are set by ``server.ioc.set_rights(name, write=False)``.
        """
        raise NotImplementedError(
            f"{filename}: access security files are not read here; server.ioc.set_rights(name, write=False) sets rights"
        )

    def setDebugLevel(self, level: int) -> None:  # noqa: N802
        """Does nothing: `canter.sim.IOC` shows what passes, with ``frames=True``."""

    def close(self) -> None:
        """Stops serving."""
        for driver in self._drivers:
            driver._ended()
        if self._ioc is not None:
            self._ioc.close()

    def __enter__(self) -> SimpleServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Driver:
    """What is behind the PVs of a server. Override `write` for what clients write, and `read` for what they read."""

    #: Which PVs are its own: those with this ``port``.
    port = _DEFAULT_PORT

    def __init__(self) -> None:
        server = manager.server
        if server is None:
            raise RuntimeError("there is no SimpleServer yet")
        self._lock = threading.RLock()
        self._params = server._params.get(self.port, {})
        self._ioc: IOC | None = None
        self._end = threading.Event()
        self._scans: list[threading.Thread] = []
        server._start(self)

    def _param(self, reason: str) -> _Param:
        try:
            return self._params[reason]
        except (KeyError, TypeError):
            from ..sim._near import nearest

            text = f"no PV has the reason {reason!a}{nearest(str(reason), self._params)}"
            raise UnknownPv(text, pv=printable(reason), remedy="give one that createPV was given") from None

    def _began(self, ioc: IOC) -> None:
        self._ioc = ioc
        periods: dict[float, list[_Param]] = {}
        for param in self._params.values():
            if param.period:
                periods.setdefault(param.period, []).append(param)
        for period, params in periods.items():
            thread = threading.Thread(target=self._scan, args=(period, params), name="canter-scan", daemon=True)
            self._scans.append(thread)
            thread.start()

    def _ended(self) -> None:
        self._end.set()
        for thread in self._scans:
            if thread is not threading.current_thread():
                thread.join(5.0)

    def _scan(self, period: float, params: Iterable[_Param]) -> None:
        from .._dispatch import report

        while not self._end.wait(period):
            for param in params:
                try:
                    value = self.read(param.reason)
                    with self._lock:
                        param.value = value
                    self._post(param)
                except Exception as error:  # noqa: BLE001 - the next turn may succeed
                    report(error, self.read)

    def _reader(self, param: _Param) -> Any:
        def read() -> Any:
            value = self.read(param.reason)
            if value is not None:
                with self._lock:
                    param.value = value
            return value

        return read

    def _decider(self, param: _Param) -> Any:
        def decide(put: Put) -> Any:
            with self._lock:
                self._called.discard(param.reason)
            if self.write(param.reason, put.value) is False:
                raise Refuse
            self._post(param)
            if not (put.notify and param.info.get("asyn")):
                return SKIP
            # Complete when `callbackPV` is called, which may have happened.
            import concurrent.futures

            with self._lock:
                waits = self._waiting.setdefault(param.reason, [])
                done: concurrent.futures.Future = concurrent.futures.Future()
                if param.reason in self._called:
                    self._called.discard(param.reason)
                    return SKIP
                waits.append(done)
            return done

        self._waiting: dict[str, list[Any]] = getattr(self, "_waiting", {})
        self._called: set[str] = getattr(self, "_called", set())
        return decide

    def _post(self, param: _Param) -> None:
        ioc = self._ioc
        if ioc is None:
            return
        with self._lock:
            value, severity, alarm = param.value, param.severity, param.alarm
            param.changed = False
        if severity is not None:
            ioc.set_alarm(param.name, severity, alarm or 0)
        try:
            ioc._core.post(param.name, value)
        except UNNAMED as error:
            raise named(error, "write", param.name) from None

    # ---- What a driver overrides. ----

    def read(self, reason: str) -> Any:
        """The value of a PV, when a client reads it and, with ``scan``, each period."""
        return self.getParam(reason)

    def write(self, reason: str, value: Any) -> bool:
        """What a client writes; false refuses it."""
        self.setParam(reason, value)
        return True

    # ---- What a driver calls. ----

    def setParam(self, reason: str, value: Any, timestamp: Any = None) -> None:  # noqa: N802
        """Sets a value, which clients see after `updatePVs`. ``timestamp`` does nothing: it is that of the update."""
        param = self._param(reason)
        with self._lock:
            param.value = value
            param.changed = True

    def getParam(self, reason: str) -> Any:  # noqa: N802
        """The value that was set last."""
        with self._lock:
            return self._param(reason).value

    def setParamStatus(self, reason: str, alarm: int | None = None, severity: int | None = None) -> None:  # noqa: N802
        """Sets the alarm, which clients see after `updatePVs`, beside that of the limits."""
        param = self._param(reason)
        with self._lock:
            param.alarm = param.alarm if alarm is None else alarm
            param.severity = (param.severity or 0) if severity is None else severity
            param.changed = True

    def setParamEnums(self, reason: str, enums: list[str], states: list[int] | None = None) -> None:  # noqa: N802
        """Sets the texts of the states, and their severities."""
        self.setParamInfo(reason, {"enums": enums, **({} if states is None else {"states": states})})

    def setParamInfo(self, reason: str, info: Mapping[str, Any]) -> None:  # noqa: N802
        """Sets units, limits, digits, states; clients are told at once."""
        param = self._param(reason)
        info = _arguments.mapping(info, "info", param.name)
        param.check(info)
        with self._lock:
            if "enums" in info:
                param.info.pop("states", None)
                if isinstance(param.value, int) and param.value >= len(info["enums"]):
                    param.value = 0
            param.info.update(info)
            param.changed = True
        ioc = self._ioc
        if ioc is None:
            return
        fields = {"unit": "EGU", "prec": "PREC", "lolim": "LOPR", "hilim": "HOPR", "low": "LOW", "high": "HIGH",
                  "lolo": "LOLO", "hihi": "HIHI", "mdel": "MDEL", "adel": "ADEL"}  # fmt: skip
        for key, value in info.items():
            if key in fields:
                ioc._core.post(f"{param.name}.{fields[key]}", value)
        if "enums" in info or "states" in info:
            ioc._core.replace(param.name, {**param.description(), "value": param.value})
            ioc.on_put(param.name, self._decider(param))

    def getParamDB(self, reason: str) -> dict[str, Any]:  # noqa: N802
        """What is known of a PV: its description, value, alarm and severity."""
        param = self._param(reason)
        with self._lock:
            return {**param.info, "value": param.value, "alarm": param.alarm or 0, "severity": param.severity or 0}

    def getParamInfo(self, reason: str, info_keys: Iterable[str] | None = None) -> dict[str, Any]:  # noqa: N802
        """What was set, or some of it."""
        info = self._param(reason).info
        keys = info if info_keys is None else info_keys
        return {key: info[key] for key in keys if key in info}

    def updatePV(self, reason: str) -> None:  # noqa: N802
        """Tells clients of a PV."""
        param = self._param(reason)
        if param.changed:
            self._post(param)

    def updatePVs(self) -> None:  # noqa: N802
        """Tells clients of all that was set."""
        for param in list(self._params.values()):
            if param.changed:
                self._post(param)

    def callbackPV(self, reason: str) -> None:  # noqa: N802
        """Completes the puts to a PV with ``asyn``, from any thread."""
        self._param(reason)
        with self._lock:
            waiting = self._waiting.pop(reason, [])
            if not waiting:
                self._called.add(reason)
        self.updatePV(reason)
        for done in waiting:
            done.set_result(SKIP)


class ServerThread:
    """Has a server process in a thread; it serves without, too."""

    def __init__(self, server: SimpleServer) -> None:
        self.server = server

    def start(self) -> None:
        """Does nothing: the server serves."""

    def stop(self) -> None:
        """Stops serving."""
        self.server.close()


__all__ = ["Alarm", "Driver", "ServerThread", "Severity", "SimpleServer", "manager"]

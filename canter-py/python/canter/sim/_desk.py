"""Where functions of the user run that an IOC calls: threads of Python, and an asyncio loop where one is needed.
No thread of the IOC ever waits for them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, NamedTuple

from .. import _canter
from .._dispatch import report
from ._errors import Refuse


#: Severity and status of a PV whose value could not be made: INVALID and READ, as of a record whose device fails.
UNREAD = (3, 1)

#: Functions of one IOC that run at once; others wait for them.
MAX_WORKERS = 32


class _Skip:
    def __repr__(self) -> str:
        return "canter.sim.SKIP"


#: Given by a function that decides a put: the put is complete, and nothing is written.
SKIP = _Skip()


class Put(NamedTuple):
    """A put by a client."""

    name: str
    field: str
    value: Any
    who: str
    #: Whether the client waits for completion.
    notify: bool = False


class After(NamedTuple):
    """Given by a function that decides a put: it is carried out, and then something is called."""

    call: Callable[[], object]


class Call(dict):
    """A call of a ``sub`` or ``aSub`` record: its inputs A to U, and VAL, by their names."""

    def __init__(self, record: str, inputs: dict[str, Any]) -> None:
        super().__init__(inputs)
        self.record = record


class Loop:
    """An asyncio loop in a thread of its own, or one of the user."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._own = loop is None
        self.loop = loop or asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._tasks: set[concurrent.futures.Future] = set()
        if self._own:
            self._thread = threading.Thread(target=self._run, name="canter-ioc-loop", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def is_current(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def start(self, coroutine: Coroutine) -> concurrent.futures.Future:
        task = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self, patience: float = 5.0) -> None:
        """Cancels what runs in it, and ends it, if it is our own."""
        for task in list(self._tasks):
            task.cancel()
        if not self._own or self.loop.is_closed():
            return
        if self._thread is not None and self._thread is not threading.current_thread():
            ended = asyncio.run_coroutine_threadsafe(self._ended(), self.loop)
            concurrent.futures.wait([ended], timeout=patience)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(patience)
            if not self._thread.is_alive():
                self.loop.close()
        else:
            self.loop.call_soon(self.loop.stop)

    async def _ended(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Workers:
    """Threads that run functions: those of one key one after the other, others at once. A thread is started when all
    are busy, so that a function may wait for what another one does.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        #: What is to be done, by its key; a key that is there is waited for, or worked on.
        self._queues: dict[Hashable, deque[Callable[[], None]]] = {}
        self._ready: deque[Hashable] = deque()
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._closed = False

    def add(self, key: Hashable, work: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                return
            queue = self._queues.get(key)
            if queue is not None:
                queue.append(work)
                return
            self._queues[key] = deque([work])
            self._ready.append(key)
            if self._idle >= len(self._ready):
                self._changed.notify()
            elif len(self._threads) < MAX_WORKERS:
                thread = threading.Thread(target=self._run, name="canter-ioc-desk", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._ready and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if self._closed:
                    return
                key = self._ready.popleft()
            while True:
                with self._changed:
                    queue = self._queues[key]
                    if not queue or self._closed:
                        del self._queues[key]
                        break
                    work = queue.popleft()
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - the thread must go on
                    report(error, work)
                # What was called must not live until the next one.
                del work

    def is_current(self) -> bool:
        return threading.current_thread() in self._threads

    def close(self, patience: float = 5.0) -> None:
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(patience)


Decide = Callable[[Put], Any]


class Desk:
    """Decides puts, runs functions of records, and tells of what was written."""

    def __init__(
        self,
        core: _canter.Ioc,
        on_put: Callable[[Put], object] | None,
        functions: dict[str, Callable[[Call], Any]],
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        inline: bool = False,
    ) -> None:
        self._core = core
        #: It lives in a world, which calls `turn`: no threads.
        self.inline = inline
        self._on_put = on_put
        self._functions = functions
        self._given = loop
        self._loop: Loop | None = None
        self._lock = threading.Lock()
        self._order: dict[tuple[str, str], asyncio.Lock] = {}
        self._closed = False
        self.deciders: dict[tuple[str, str], Decide] = {}
        self.observers: dict[str, Callable[[Any], object]] = {}
        self.getters: dict[str, Callable[[], Any]] = {}
        #: PVs whose getter has failed: their alarm is ours.
        self._unread: set[str] = set()
        self._thread: threading.Thread | None = None
        self._workers = Workers()
        self._turns: dict[str, Callable[..., None]] = {
            "put": self._put,
            "value": self._value,
            "ask": self._ask,
            "read": self._read,
            "call": self._function,
        }

    @property
    def loop(self) -> Loop:
        with self._lock:
            if self._loop is None:
                if self._closed:
                    raise RuntimeError("this IOC was closed")
                self._loop = Loop(self._given)
            return self._loop

    def is_current(self) -> bool:
        """Whether this is called by a function that the IOC has called."""
        return self._workers.is_current()

    def ensure(self) -> None:
        """Starts the threads, if there is something to run."""
        with self._lock:
            if self._thread is None and not self.inline:
                arguments = (self._core, self._workers, self._turns)
                self._thread = threading.Thread(target=_receive, args=arguments, name="canter-ioc-told", daemon=True)
                self._thread.start()

    def turn(self, told: tuple) -> None:
        """Does one thing that the IOC has told, at once."""
        try:
            self._turns[told[0]](*told[1:])
        except BaseException as error:  # noqa: BLE001 - the world must go on
            report(error, told[0])

    def run(self, work: Callable[[], None]) -> None:
        """Does something in turn with others of its kind."""
        if self.inline:
            work()
        else:
            self._workers.add("on_update", work)

    def _put(self, name: str, field: str, value: Any, who: str) -> None:
        if self._on_put is not None:
            self._call(self._on_put, Put(name, field, value, who))

    def _value(self, name: str, value: Any) -> None:
        observer = self.observers.get(name)
        if observer is not None:
            self._call(observer, value)

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            made = function(*args)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises is its own
            report(error, function)
            return
        if inspect.iscoroutine(made):
            self.start(made, function)

    def start(self, coroutine: Coroutine, function: Any = None) -> concurrent.futures.Future:
        """Runs a coroutine in the loop; what it raises is reported."""
        if self.inline:
            return _at_once(coroutine, function or coroutine)

        async def run() -> Any:
            try:
                return await coroutine
            except BaseException as error:
                if not isinstance(error, asyncio.CancelledError):
                    report(error, function or coroutine)
                raise

        return self.loop.start(run())

    # ---- Puts that wait. ----

    def _ask(self, id: int, name: str, field: str, value: Any, who: str, notify: bool) -> None:  # noqa: A002
        decide = self.deciders.get((name, field))
        if decide is None:
            self._core.answer(id, "accept")
            return
        try:
            made = decide(Put(name, field, value, who, notify))
        except BaseException as error:  # noqa: BLE001 - whatever it raises refuses the put
            self._refused(id, error, decide)
            return
        if inspect.iscoroutine(made) and self.inline:
            self._done(id, name, field, _at_once(made, decide, tell=False), decide)
        elif inspect.iscoroutine(made):
            self.loop.start(self._await(id, (name, field), made, decide))
        elif isinstance(made, concurrent.futures.Future):
            made.add_done_callback(lambda done: self._done(id, name, field, done, decide))
        else:
            self._answer(id, name, field, made, decide)

    async def _await(self, id: int, key: tuple[str, str], coroutine: Coroutine, decide: Decide) -> None:  # noqa: A002
        # Puts to one PV are decided one after the other, in their order.
        lock = self._order.setdefault(key, asyncio.Lock())
        async with lock:
            try:
                made = await coroutine
            except asyncio.CancelledError:
                self._core.answer(id, "reject")
                raise
            except BaseException as error:  # noqa: BLE001
                self._refused(id, error, decide)
            else:
                self._answer(id, *key, made, decide)

    def _done(self, id: int, name: str, field: str, done: Any, decide: Decide) -> None:  # noqa: A002
        error = done.exception()
        if error is None:
            self._answer(id, name, field, done.result(), decide)
        else:
            self._refused(id, error, decide)

    def _refused(self, id: int, error: BaseException, decide: Decide) -> None:  # noqa: A002
        # Before the client knows.
        if not isinstance(error, Refuse):
            report(error, decide)
        self._core.answer(id, "reject")

    def _answer(self, id: int, name: str, field: str, made: Any, decide: Decide) -> None:  # noqa: A002
        after = None
        if isinstance(made, After):
            made, after = None, made.call
        try:
            if made is SKIP:
                self._core.answer(id, "done")
            elif made is None:
                self._core.answer(id, "accept")
            else:
                full = name if field == "VAL" else f"{name}.{field}"
                self._core.answer(id, "accept", made, full)
        except BaseException as error:  # noqa: BLE001 - a value that does not fit
            self._refused(id, error, decide)
            return
        if after is not None:
            self._call(after)

    # ---- Reads that wait. ----

    def _read(self, name: str) -> None:
        getter = self.getters.get(name)
        if getter is None:
            self._finish_read(name)
            return
        try:
            made = getter()
        except BaseException as error:  # noqa: BLE001 - an alarm shows it
            self._not_made(name, error, getter)
            return
        if inspect.iscoroutine(made) and self.inline:
            done = _at_once(made, getter, tell=False)
            raised = done.exception()
            if raised is None:
                self._made(name, done.result(), getter)
            else:
                self._not_made(name, raised, getter)
        elif inspect.iscoroutine(made):
            self.loop.start(self._await_read(name, made, getter))
        else:
            self._made(name, made, getter)

    async def _await_read(self, name: str, coroutine: Coroutine, getter: Any) -> None:
        try:
            made = await coroutine
        except asyncio.CancelledError:
            self._finish_read(name)
            raise
        except BaseException as error:  # noqa: BLE001
            self._not_made(name, error, getter)
        else:
            self._made(name, made, getter)

    def _made(self, name: str, value: Any, getter: Any) -> None:
        try:
            if name in self._unread:
                self._unread.discard(name)
                self._core.set_alarm(name, 0, 0)
            if value is not None:
                self._core.post(name, value)
        except BaseException as error:  # noqa: BLE001 - a value that does not fit
            self._not_made(name, error, getter)
        else:
            self._finish_read(name)

    def _not_made(self, name: str, error: BaseException, getter: Any) -> None:
        report(error, getter)
        try:
            self._unread.add(name)
            self._core.set_alarm(name, *UNREAD)
        except KeyError:
            pass  # It was removed meanwhile.
        self._finish_read(name)

    def _finish_read(self, name: str) -> None:
        try:
            self._core.finish_read(name)
        except (KeyError, RuntimeError):
            pass  # It, or the IOC, was removed meanwhile.

    # ---- Functions of records. ----

    def _function(self, id: int, function: str, record: str, inputs: dict[str, Any]) -> None:  # noqa: A002
        work = self._functions[function]
        call = Call(record, inputs)
        try:
            made = work(call)
        except BaseException as error:  # noqa: BLE001 - BRSV shows it
            self._failed(id, error, work)
            return
        if inspect.iscoroutine(made) and self.inline:
            done = _at_once(made, work, tell=False)
            raised = done.exception()
            if raised is None:
                self._finish(id, call, done.result(), work)
            else:
                self._failed(id, raised, work)
        elif inspect.iscoroutine(made):
            self.loop.start(self._await_call(id, call, made, work))
        else:
            self._finish(id, call, made, work)

    async def _await_call(self, id: int, call: Call, coroutine: Coroutine, work: Any) -> None:  # noqa: A002
        try:
            made = await coroutine
        except asyncio.CancelledError:
            self._core.answer_call(id, [], -1)
            raise
        except BaseException as error:  # noqa: BLE001
            self._failed(id, error, work)
        else:
            self._finish(id, call, made, work)

    def _failed(self, id: int, error: BaseException, work: Any) -> None:  # noqa: A002
        report(error, work)
        self._core.answer_call(id, [], -1)

    def _finish(self, id: int, call: Call, made: Any, work: Any) -> None:  # noqa: A002
        try:
            if made is None:
                fields = []
            elif isinstance(made, dict):
                fields = list(made.items())
            else:
                is_sub = self._core.read(f"{call.record}.RTYP")[0] == "sub"
                fields = [("VAL" if is_sub else "VALA", made)]
            self._core.answer_call(id, fields, 0)
        except BaseException as error:  # noqa: BLE001 - what it gives cannot be
            self._failed(id, error, work)

    def close(self) -> None:
        self._closed = True
        self._core.end_told()
        self._workers.close()
        with self._lock:
            loop = self._loop
        if loop is not None:
            loop.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)


def _at_once(coroutine: Coroutine, function: Any, tell: bool = True) -> concurrent.futures.Future:
    """Runs a coroutine that waits for nothing to its end: in a world there is no loop that could wait."""
    done: concurrent.futures.Future = concurrent.futures.Future()
    waits = RuntimeError(
        f"{function!r} waits for something, and in a world coroutines cannot: use World.after or World.every"
    )
    failed: BaseException = waits
    try:
        coroutine.send(None)
        coroutine.close()
    except StopIteration as ended:
        done.set_result(ended.value)
        return done
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its own
        # What asyncio says where it has no loop.
        failed = waits if "no running event loop" in str(error) else error
    if tell:
        report(failed, function)
    done.set_exception(failed)
    return done


def _key(told: tuple) -> Hashable:
    """What is done one after the other."""
    match told[0]:
        case "ask":
            return told[2], told[3]
        case "call":
            return told[3], ""
        case "value":
            return told[1], "observed"
        case "read":
            return told[1], "read"
        case _:
            return "put"


def _receive(core: _canter.Ioc, workers: Workers, turns: dict[str, Callable[..., None]]) -> None:
    while (told := core.wait_told()) is not None:
        for one in told:
            workers.add(_key(one), functools.partial(turns[one[0]], *one[1:]))
        del told, one

"""Between operations and loops of asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import os
import weakref
from collections import deque
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from . import _canter

if TYPE_CHECKING:
    from ._client import Client


class _Bridge:
    """Carries what ends in the thread of callbacks over to a loop: one wake-up for all that has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # What a loop is found by must not keep it.
        self._loop = weakref.ref(loop)
        self._done: deque = deque()
        self._awake = False
        self._jobs: weakref.WeakKeyDictionary[Client, _Jobs | None] = weakref.WeakKeyDictionary()

    def call(self, function: Any, *args: Any) -> None:
        self._done.append((function, args))
        # Set before the loop looks: it clears it before it empties the queue.
        if not self._awake:
            self._awake = True
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                # The loop was closed: nobody waits any more.
                self._done.clear()

    def _drain(self) -> None:
        self._awake = False
        while self._done:
            function, args = self._done.popleft()
            function(*args)

    def jobs(self, client: Client) -> _Jobs | None:
        """Operations of a client that this loop drives itself; ``None`` where it cannot."""
        try:
            jobs = self._jobs[client]
        except KeyError:
            jobs = self._jobs[client] = _jobs(self._loop(), client)
        if jobs is not None and not jobs.core.is_ours():
            jobs = self._jobs[client] = _jobs(self._loop(), client)
        return jobs


class _Jobs:
    """Operations that end in the loop that began them, without another thread in between.

    What is begun while nothing is under way goes out at once, and what is begun beside that together at the end of the
    round of the loop. The loop then waits for the sockets of the client as well, as long as that brings answers; what
    takes longer is left to the thread of the client, which wakes the loop when there is something.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, core: _canter.LoopJobs) -> None:
        self.core = core
        self.loop = weakref.ref(loop)
        #: The loop will call `_go`.
        self._soon = False
        #: What ends is being told, in a call of the loop; what is begun by that goes out behind it.
        self._telling = False
        self._begun = False
        #: What has ended and is still to be told.
        self._late: deque = deque()
        self._watching = False
        self._idle = 0
        #: What the loop is about to call; `None` if it does not show it.
        self._ready: Any = getattr(loop, "_ready", None)
        #: Answers in a row that came without a round of the loop.
        self._straight = 0
        # Of one's own, as the client may be closed before the loop looks again.
        self._sockets = os.dup(core.fileno())
        loop.add_reader(core.wake_fileno(), _weakly(self._woken))

    def begun(self) -> None:
        """Something was begun."""
        alone = len(self.core) == 1 and not self._late and not self._soon
        # Nothing else is to be done: the loop could only wait for the answer itself. It has its turn all the same when
        # there were many.
        if alone and self._ready is not None and not self._ready and self._straight < _MAX_STRAIGHT:
            self._straight += 1
            # The one that was begun, which nobody waits for yet.
            for function, args in self.core.turn(True, True):
                function(*args)
            if not len(self.core):
                return
        self._straight = 0
        if self._telling:
            self._begun = True
        elif not self._soon:
            if not alone:
                return self._call_soon()
            # A task runs here, so that none can be told anything.
            self._late.extend(self.core.turn(True))
            if self._late:
                self._call_soon()
            elif not self._watching:
                self._watch()

    def _call_soon(self) -> None:
        loop = self.loop()
        if loop is not None and not self._soon:
            self._soon = True
            loop.call_soon(self._go)

    def _go(self) -> None:
        self._soon = False
        self._run(True)
        if not self._watching and len(self.core):
            self._watch()

    def _watch(self) -> None:
        loop = self.loop()
        if loop is not None:
            self._watching = True
            self._idle = 0
            loop.add_reader(self._sockets, _weakly(self._readable))

    def _readable(self) -> None:
        if self._run(True):
            self._idle = 0
            return
        self._idle += 1
        if self._idle > _MAX_IDLE or not len(self.core):
            self._leave()

    def _woken(self) -> None:
        self._run(False)

    def _run(self, drive: bool) -> int:
        """Tells what has ended, and sends what that begins."""
        count = 0
        late = self._late
        self._telling = True
        try:
            for _ in range(_ROUNDS):
                self._begun = False
                late.extend(self.core.turn(drive))
                count += len(late)
                while late:
                    function, args = late.popleft()
                    function(*args)
                if not self._begun:
                    return count
                drive = True
        finally:
            self._telling = False
            # The rest of a telling that raised; and other tasks have their turn before what goes on for long.
            if late or self._begun:
                self._call_soon()
        return count

    def _leave(self) -> None:
        loop = self.loop()
        if self._watching and loop is not None and not loop.is_closed():
            loop.remove_reader(self._sockets)
        self._watching = False

    def __del__(self) -> None:
        loop = self.loop()
        if loop is not None and not loop.is_closed():
            self._leave()
            loop.remove_reader(self.core.wake_fileno())
        os.close(self._sockets)


class _Answer:
    """What an operation ends with, as an awaitable: what a future of asyncio is to a task, less what that costs. Who
    awaits it goes on in the very call of the loop in which the answer comes, not in a later round.
    """

    # Of the class, as most of them never change.
    _asyncio_future_blocking = False
    _wake: Any = None
    _context: Any = None
    _more: list | None = None
    _ended = False
    _result: Any = None
    _error: BaseException | None = None
    #: What `cancel` was called with.
    _given_up: tuple | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, result: Any, error: BaseException | None) -> None:
        """Ends it; called by the loop, and in no task."""
        if self._ended:
            return
        self._ended, self._result, self._error = True, result, error
        wake, self._wake = self._wake, None
        if self._more is not None:
            self._tell_more()
        if wake is not None:
            self._context.run(wake, self)

    def _tell_more(self) -> None:
        for function, context in self._more or ():
            self._loop.call_soon(function, self, context=context)
        self._more = None

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._ended:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    __iter__ = __await__

    def result(self) -> Any:
        if self._given_up is not None:
            # Another each time: one that was raised knows who waited, whom the operation must not keep.
            raise asyncio.CancelledError(*self._given_up)
        if self._error is not None:
            try:
                raise self._error
            finally:
                # No cycle through the traceback.
                del self
        if not self._ended:
            raise asyncio.InvalidStateError("the operation has not ended")
        return self._result

    def exception(self) -> BaseException | None:
        if self._given_up is not None or not self._ended:
            self.result()
        return self._error

    def done(self) -> bool:
        return self._ended

    def cancelled(self) -> bool:
        return self._given_up is not None

    def cancel(self, msg: Any = None) -> bool:
        """Gives it up. A task does so while it runs itself, so who awaits this is told in a call of its own."""
        if self._ended:
            return False
        self._ended = True
        self._given_up = () if msg is None else (msg,)
        if self._wake is not None:
            self._loop.call_soon(self._wake, self, context=self._context)
            self._wake = None
        self._tell_more()
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, function: Any, *, context: Any = None) -> None:
        if context is None:
            context = contextvars.copy_context()
        if self._ended:
            self._loop.call_soon(function, self, context=context)
        elif self._wake is None:
            self._wake, self._context = function, context
        else:
            self._more = self._more or []
            self._more.append((function, context))

    def remove_done_callback(self, function: Any) -> int:
        more = self._more or []
        kept = [one for one in more if one[0] != function]
        count = len(more) - len(kept)
        self._more = kept or None
        if self._wake is not None and self._wake == function:
            self._wake = None
            count += 1
        return count


#: Times that a telling goes on with what it began itself, before the loop has its turn.
_ROUNDS = 4

#: Answers in a row that a task gets without a round of the loop, while it is the only thing that the loop has to do.
_MAX_STRAIGHT = 16

#: Times that a loop looks at the sockets in vain before it leaves them to the thread of the client.
_MAX_IDLE = 2


def _jobs(loop: asyncio.AbstractEventLoop | None, client: Client) -> _Jobs | None:
    if loop is None:
        return None
    try:
        return _Jobs(loop, client._core.loop_jobs())
    except NotImplementedError:
        # A system or loop that cannot wait for descriptors.
        return None


def _weakly(method: Any) -> Any:
    """A method that does not keep its object, as a loop would keep what it calls."""
    found = weakref.WeakMethod(method)

    def call() -> None:
        known = found()
        if known is not None:
            known()

    return call


_bridges: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _bridge() -> _Bridge:
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    return bridge


def _settle(future: asyncio.Future, result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _waiter() -> tuple[asyncio.Future, Any]:
    """A future of the running loop, and the callback that ends it from any thread."""
    bridge = _bridge()
    future = asyncio.get_running_loop().create_future()
    return future, lambda result, error: bridge.call(_settle, future, result, error)


def _begin_put(
    client: Client, start: Any, value: Any, until: str, *args: Any, **options: Any
) -> Awaitable[Any]:
    """Begins a put. The completion of one takes the way of the updates, so that those that the server has sent
    before have reached their callbacks when it ends.
    """
    if until != "completed":
        return _begin(client, start, value, until, *args, **options)
    client._dispatcher.ensure()
    future, done = _waiter()
    start(done, value, until, *args, **options)
    return future


def _begin(client: Client, start: Any, *args: Any, **options: Any) -> Awaitable[Any]:
    """Begins an operation of a channel; what is awaited for its end, in the running loop."""
    loop = asyncio.get_running_loop()
    found = client._loop_jobs
    jobs = None if found is None else found()
    if jobs is None or jobs.loop() is not loop or not jobs.core.is_ours():
        jobs = _bridge().jobs(client)
        if jobs is None:
            client._dispatcher.ensure()
            future, done = _waiter()
            start(done, *args, **options)
            return future
        client._loop_jobs = weakref.ref(jobs)
    answer = _Answer(loop)
    start(answer, *args, **options, jobs=jobs.core)
    jobs.begun()
    return answer

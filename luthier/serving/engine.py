"""One thread that runs all models: admits what waits, reads prompts, writes one token for every row, and tells what came.

Everything that touches a network happens here, between two steps; requests, cancellations and changes of adapters only leave notes. Nothing is
admitted that the memory for keys and values cannot hold to its end, so a row that has begun always finishes.
"""
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from luthier.errors import LuthierError
from luthier.generation.batcher import Seat
from luthier.generation.slots import Slots
from luthier.serving.fair import FairQueue
from luthier.serving.hosts import Host, Model, Registry

log = logging.getLogger("luthier.serving")
PROMPT_TOKENS = 4096
"""Most prompt tokens read between two steps, so that long prompts do not stop the others for long."""
WEDGED = 60.0
"""Seconds without a sign of life while there is work, after which the engine counts as dead."""


class Overloaded(LuthierError):
    """The queue is full, or the server is going down."""

    default_code = "E120"

    def __init__(self, message: str, *, retry_after: float = 1.0, draining: bool = False, **place):
        super().__init__(message, **{"hint": "try again later", **place})
        self.retry_after, self.draining = retry_after, draining


@dataclass(eq=False)
class Ask:
    """One request: rows to write, or work to do with a model."""

    model: Model
    asker: str
    tell: Callable[[tuple], None]
    """Told ("end", choice, finish), ("result", value) or ("error", exception); called in the engine's thread."""
    seats: list[Seat] = field(default_factory=list)
    work: Callable[[Any], Any] | None = None
    """A function of the model's network, where it is no text that is wanted."""
    cost: int = 1
    """Tokens, for fairness and admission."""
    deadline: float = float("inf")
    cancelled: bool = False
    begun: bool = False
    asked: float = field(default_factory=time.monotonic)

    def cancel(self) -> None:
        """Want it no more; its rows leave before the next step."""
        self.cancelled = True
        for seat in self.seats:
            seat.cancelled = True


class Engine:
    """The thread and what waits for it."""

    def __init__(self, registry: Registry, *, cache_bytes: int, max_waiting: int = 64, flush: Callable[[], None] = lambda: None):
        self.registry, self.cache_bytes, self.max_waiting, self.flush = registry, cache_bytes, max_waiting, flush
        self.queue: FairQueue[Ask] = FairQueue()
        self.running: dict[Seat, Ask] = {}
        self.notes: deque[tuple[Callable[[], Any], Future]] = deque()
        self.wake = threading.Condition()
        self.beat = time.monotonic()
        self.draining = self.stopping = False
        self.written = 0
        """Tokens written since the start."""
        self.rate = 0.0
        """Tokens a second lately."""
        self.waiting_cost = 0
        self.outside: dict[Ask, Any] = {}
        """Requests that an engine in another process works on, and where."""
        self.steps = 0
        self.thread = threading.Thread(target=self.run, name="luthier-engine", daemon=True)

    # ---- from other threads ---------------------------------------------------------------------
    def start(self) -> None:
        self.thread.start()

    def submit(self, ask: Ask) -> None:
        """Queue a request. Overloaded when too many wait or the server goes down; a request that can never fit is a LuthierError (E121)."""
        if ask.seats and (need := self.cache_need(ask.model.host, len(ask.seats), longest(ask.seats))) > self.cache_bytes:
            raise LuthierError(f"this request needs {need / 2**20:,.0f} MiB of cache and {self.cache_bytes / 2**20:,.0f} MiB are set aside", code="E121", hint="ask for fewer tokens or choices")
        with self.wake:
            if self.draining:
                raise Overloaded("the server is going down", retry_after=5, draining=True)
            if len(self.queue) >= self.max_waiting:
                raise Overloaded(f"{len(self.queue)} requests are waiting already", retry_after=self.patience())
            if ask.model.retired:
                self.rebind(ask)
            ask.model.users += 1
            self.queue.put(ask.asker, ask)
            self.waiting_cost += ask.cost
            self.wake.notify()

    def enter(self, ask: Ask, host: Any) -> None:
        """Count a request that another process works on; Overloaded where it has more than it may, or the server goes down. `exit` must follow."""
        with self.wake:
            if self.draining:
                raise Overloaded("the server is going down", retry_after=5, draining=True)
            there = sum(where is host for where in self.outside.values())
            if there >= host.max_rows + self.max_waiting:
                raise Overloaded(f"{there} requests are at hand already", retry_after=1)
            self.outside[ask] = host
            ask.model.users += 1

    def exit(self, ask: Ask) -> None:
        with self.wake:
            if self.outside.pop(ask, None) is not None:
                ask.model.users -= 1

    def rebind(self, ask: Ask) -> None:
        """The model was replaced between its look-up and now: what answers to its name today takes the request, if the prompt is the same to it."""
        model = self.registry.find(ask.model.id)
        if model is None or model.host is not ask.model.host or model.renderer is not ask.model.renderer:
            raise Overloaded(f"{ask.model.id} was replaced at this very moment", retry_after=1)
        ask.model = model
        for seat in ask.seats:
            seat.adapter = model.place

    def patience(self) -> float:
        """Seconds after which it is worth asking again."""
        return min(60.0, max(1.0, self.waiting_cost / self.rate if self.rate else 1.0))

    def call(self, function: Callable[[], Any]) -> Future:
        """Run a function in the engine's thread between two steps."""
        future: Future = Future()
        with self.wake:
            self.notes.append((function, future))
            self.wake.notify()
        return future

    def nudge(self) -> None:
        """Look at cancellations now."""
        with self.wake:
            self.wake.notify()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and is not stuck."""
        return self.thread.is_alive() and (time.monotonic() - self.beat < WEDGED or not self.busy)

    @property
    def busy(self) -> bool:
        return bool(self.running or len(self.queue) or self.notes)

    def drain(self, seconds: float) -> bool:
        """Take nothing new and wait for what is at hand; what is left after the deadline gets an error. True when all ended by themselves."""
        with self.wake:
            self.draining = True
        end = time.monotonic() + seconds
        while (self.busy or self.outside) and time.monotonic() < end:
            time.sleep(0.02)
        clean = not (self.busy or self.outside)
        self.call(lambda: self.fail_all(Overloaded("the server is going down", retry_after=5, draining=True))).result(timeout=30)
        return clean

    def stop(self) -> None:
        with self.wake:
            self.stopping = True
            self.wake.notify()
        self.thread.join(timeout=30)

    # ---- the thread -----------------------------------------------------------------------------
    def run(self) -> None:
        while True:
            with self.wake:
                while not (self.busy or self.stopping):
                    self.beat = time.monotonic()
                    self.wake.wait(timeout=1.0)
                if self.stopping:
                    return
            self.turn()

    def turn(self) -> None:
        """What happens between two tokens."""
        self.beat, began, before = time.monotonic(), time.monotonic(), self.written
        while self.notes:
            function, future = self.notes.popleft()
            if not future.set_running_or_notify_cancel():  # nobody waits for it any more
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # the one who asked for it gets it
                future.set_exception(error)
        self.sweep()
        self.admit()
        self.flush()  # a first token does not wait for the step of the others
        for host in self.hosts():
            try:
                self.end(host.batcher.step())
            except Exception as error:
                self.lost(host, error)
        self.steps += 1
        spent = max(1e-6, time.monotonic() - began)
        if self.written > before:
            self.rate = 0.9 * self.rate + 0.1 * (self.written - before) / spent if self.rate else (self.written - before) / spent
        self.flush()

    def hosts(self) -> list[Host]:
        """Hosts with rows at hand."""
        return list(dict.fromkeys(ask.model.host for ask in self.running.values()))

    def sweep(self) -> None:
        """Let go of what was cancelled or is too late, in the queue and in the batch."""
        now = time.monotonic()
        for asker, ask in self.queue.items():
            if ask.cancelled or now > ask.deadline:
                self.queue.drop_from(asker, ask)
                self.waiting_cost -= ask.cost
                self.finish(ask, None if ask.cancelled else too_late())
        for ask in set(self.running.values()):
            if now > ask.deadline and not ask.cancelled:
                ask.tell(("error", too_late()))
                ask.cancel()
        for host in self.hosts():
            self.end(host.batcher.sweep())

    def admit(self) -> None:
        """Take what fits from the queue; one piece of work that is no writing at a time, and no more prompt tokens than a step's others can wait for."""
        read, worked = 0, False
        groups: dict[Host, list[Ask]] = {}
        while (ask := self.queue.peek()) is not None:
            length = sum(len(seat.prompt) for seat in ask.seats[:1])
            if (ask.work is not None and worked) or (read and read + length > PROMPT_TOKENS) or (ask.seats and not self.fits(ask, groups)):
                break
            self.queue.take(ask.cost)
            self.waiting_cost -= ask.cost
            ask.begun = True
            if ask.work is not None:
                worked = True
                self.do(ask)
            else:
                read += length
                groups.setdefault(ask.model.host, []).append(ask)
        for host, asks in groups.items():
            self.running |= {seat: ask for ask in asks for seat in ask.seats}
            self.prefill(host, asks)

    def fits(self, ask: Ask, groups: dict[Host, list[Ask]]) -> bool:
        """Whether there are rows and memory for all of a request's texts, to their longest end."""
        host = ask.model.host
        coming = [seat for other in groups.get(host, ()) for seat in other.seats]
        rows = len(host.batcher.seats) + len(coming) + len(ask.seats)
        if rows > host.max_rows:
            return False
        held = sum(self.cache_need(other, len(other.batcher.seats), longest(other.batcher.seats)) for other in self.hosts() if other is not host)
        return held + self.cache_need(host, rows, longest([*host.batcher.seats, *coming, *ask.seats])) <= self.cache_bytes

    @staticmethod
    def cache_need(host: Host, rows: int, length: int) -> int:
        """Bytes that the buffers take at most for so many rows of such a length."""
        return Slots.tokens_needed(rows, length) * host.bytes_per_token if rows else 0

    def prefill(self, host: Host, asks: list[Ask]) -> None:
        try:
            self.end(host.batcher.join([seat for ask in asks for seat in ask.seats]))
        except Exception as error:
            self.lost(host, error, [seat for ask in asks for seat in ask.seats])

    def do(self, ask: Ask) -> None:
        """Work outside the batch; its failure is its own."""
        try:
            with ask.model.at_work() as language_model:
                result = ask.work(language_model)
        except LuthierError as error:
            self.finish(ask, error)
        except Exception as error:
            log.exception("work failed")
            self.finish(ask, internal(error))
        else:
            ask.tell(("result", result))
            self.finish(ask, None)

    # ---- ends -----------------------------------------------------------------------------------
    def end(self, seats: list[Seat]) -> None:
        """Tell those whose rows have ended; a request ends with its last row."""
        for seat in seats:
            ask = self.running.pop(seat)
            seat.writer.close(seat.tokens)
            self.written += len(seat.tokens)
            ask.tell(("end", seat.choosing.choice, seat.finish))
            if all(other not in self.running for other in ask.seats):
                self.finish(ask, None)

    def finish(self, ask: Ask, error: Exception | None) -> None:
        """The request is over; a model that was retired goes with its last one."""
        if error is not None:
            ask.tell(("error", error))
        ask.tell(("over",))
        with self.wake:
            ask.model.users -= 1
            self.let_go(ask.model)

    def let_go(self, model: Model) -> None:
        if model.retired and model.users == 0 and model.host.bank is not None and model.place in model.host.bank.kept:
            model.host.bank.remove(model.place)

    def lost(self, host: Host, error: Exception, joining: list[Seat] = ()) -> None:
        """A pass failed: the rows of that host end with an error, the others go on."""
        log.exception("a pass failed")
        for seat in {*host.batcher.clear(), *joining}:
            if (ask := self.running.pop(seat, None)) is not None:
                seat.finish = "error"
                if not ask.cancelled:
                    ask.tell(("error", internal(error)))
                    ask.cancel()
                if all(other not in self.running for other in ask.seats):
                    self.finish(ask, None)

    def fail_all(self, error: Exception) -> None:
        """End everything at hand with one error."""
        for asker, ask in self.queue.items():
            self.queue.drop_from(asker, ask)
            self.waiting_cost -= ask.cost
            self.finish(ask, error)
        for ask in {*self.running.values(), *self.outside}:
            ask.tell(("error", error))
            ask.cancel()
        self.sweep()
        self.flush()

    # ---- adapters -------------------------------------------------------------------------------
    def put(self, model: Model, *aliases: str) -> None:
        """Make a name answer from now on; requests at hand finish on what answered before. In the engine's thread."""
        with self.wake:  # a request is either counted on the old one, or finds the new one
            before = self.registry.add(model, *aliases)
            if before is not None:
                before.retired = True
                self.let_go(before)

    def drop(self, name: str) -> bool:
        """Make a name answer no more. In the engine's thread."""
        with self.wake:
            model = self.registry.remove(name)
            if model is not None:
                model.retired = True
                self.let_go(model)
        return model is not None


def longest(seats: list[Seat]) -> int:
    """Tokens of the longest text, should it use all it may."""
    return max((len(seat.prompt) + seat.budget for seat in seats), default=0)


def too_late() -> LuthierError:
    return LuthierError("the request took longer than its deadline", code="E122", hint="ask for fewer tokens, or try when less is waiting")


def internal(error: Exception) -> LuthierError:
    """An error inside, without its words: they may name paths."""
    return LuthierError("an error inside the server", code="E123", hint="the server's log has it")

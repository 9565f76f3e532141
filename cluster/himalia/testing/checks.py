"""What must be true of a whole run, whatever happened: the promises to users, checked against a witness of all events.

The witness sees what no process sees: every execution, every death, every wish.  From that follows what each future
may end with; anything else raises :class:`SimulationError`.  The invariants of one machine are its own
``validate()``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, LOST, PENDING, Record
from himalia.comm.data.layout import pages
from himalia.messages.nanny import Compute, TaskFinished, WorkerDied
from himalia.messages.parts import TaskError
from himalia.names import Key, PeerId
from himalia.scheduler import state as s
from himalia.testing import calls
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.clients import ClientProcess
    from himalia.testing.cluster import SimulatedCluster
    from himalia.testing.workers import SimulatedWorker


OWN = "own-"
"""How names begin that a user gives to one call after another."""
SHARED = "own-shared-"
"""How names begin that all users give to this and that at the same time: each gets one of those, nobody knows which."""
AGAIN = "-again"
"""How names end of calls that read what such a name stands for."""


class Witness:
    """Keeps the accounts of one run and compares them with what users see."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.executions: Counter[Key] = Counter()
        self.submissions: Counter[Key] = Counter()
        self.struck: Counter[Key] = Counter()
        """Worker deaths while a call ran that were its own doing, or an accident's."""
        self.bystander: Counter[Key] = Counter()
        """Worker deaths while a call ran that another call caused."""
        self.guilty: dict[int, Key] = {}
        self.accidents: set[int] = set()
        self.cancels: dict[Key, set[int]] = {}
        """Users who cancelled a key; -1 for all of them (``force``)."""
        self.may_be_lost: set[Key] = set()
        self.held_by_name: set[Key] = set()
        """Keys that somebody held a future of without having submitted them: they may be unknown."""
        self.was_restarted = False
        self.is_peaceful = cluster.plan.is_peaceful()
        self.committed: set[int] = set()
        self.assigned: set[int] = set()
        self.outcomes: Counter[str] = Counter()
        self.settled_as: dict[int, tuple[Record, str]] = {}
        """How every future first ended."""
        self.was_retried = False
        self.was_disk_full = False
        self.ancestors = self._all_ancestors()
        self._before: tuple[s.SchedulerTask, int] | None = None

    def _all_ancestors(self) -> dict[Key, set[Key]]:
        # A plan names dependencies first, so those of each task are known when it is looked at.
        found: dict[Key, set[Key]] = {key: {key} for key in self.cluster.plan.placed}
        for key, task in self.cluster.plan.tasks.items():
            found[key] = {key}.union(*(found[name] for name in task.call.inputs))
        return found

    # What happens

    def submitted(self, keys: Iterable[Key]) -> None:
        """Count a submission."""
        self.submissions.update(keys)

    def cancelled(self, client: ClientProcess, keys: Iterable[Key], force: bool) -> None:
        """Note a wish to cancel."""
        for key in keys:
            self.cancels.setdefault(key, set()).update({client.number, -1} if force else {client.number})

    def restarted(self) -> None:
        """Note that everything was cancelled."""
        self.was_restarted = True

    def began(self, key: Key) -> None:
        """Count an execution."""
        self.executions[key] += 1

    def poisoned(self, worker: SimulatedWorker, key: Key) -> None:
        """Note which call will be the end of a worker."""
        # By identity: its name will be its successor's.
        self.guilty[id(worker)] = key

    def had_accident(self, worker: SimulatedWorker) -> None:
        """Note that a worker is about to be killed by a fault."""
        self.accidents.add(id(worker))

    def worker_ended(self, worker: SimulatedWorker, keys: Iterable[Key]) -> None:
        """Count a worker's death for the calls it had begun."""
        # Both are taken out: the next process may get the same id.
        guilty = self.guilty.pop(id(worker), None)
        was_accident = id(worker) in self.accidents
        self.accidents.discard(id(worker))
        for key in keys:
            if key == guilty or was_accident:
                self.struck[key] += 1
            elif guilty is not None:
                self.bystander[key] += 1

    def data_endangered(self, keys: Iterable[Key]) -> None:
        """Note that a copy of these is gone or was believed to be."""
        placed = self.cluster.plan.placed
        # What is computed is computed again; only what somebody placed can be gone for good.
        self.may_be_lost.update(key for key in keys if key in placed or "-call-" in key or key.startswith(OWN))

    def disk_is_full(self) -> None:
        """Note that something found no room on a disk: from now on there may be no room at all."""
        self.was_disk_full = True

    def passed(self, worker: SimulatedWorker, key: Key, value: bytes) -> None:
        """Check what a call was given as an input."""
        if key.startswith(OWN):
            return  # what such a name stands for, its user knows
        # An argument that was placed is in no plan; its value follows from its name.
        truth = self.cluster.truth.get(key) or calls.scattered_value(key)
        if value != truth:
            raise SimulationError(f"{worker} was given a wrong value of {key}")

    # What the scheduler does

    def scheduler_sends(self, message: Compute) -> None:
        """Check that an attempt is assigned once."""
        if message.attempt in self.assigned:
            raise SimulationError(f"attempt {message.attempt} of {message.key} was assigned twice")
        self.assigned.add(message.attempt)

    def scheduler_will_handle(self, event: object, source: PeerId) -> None:
        """Remember how the task stood that a completion is about."""
        self._before = None
        if event.__class__ is TaskFinished:
            # Before the machine has it: the same event may finish a task and forget it.
            task = self.cluster.scheduler.machine.tasks.get(event.key)
            if task is not None and task.status is not s.FINISHED:
                self._before = (task, event.attempt)

    def scheduler_handled(self, event: object, source: PeerId) -> None:
        """Check that a completion was taken in once and by its attempt, and what deaths cost."""
        # While the death is taken in: a moment later its calls may be gone.
        if event.__class__ is WorkerDied:
            self._check_strikes(event)
        if self._before is None:
            return
        task, attempt = self._before
        if task.status is s.FINISHED:
            # The machine took it as the result: then it is the attempt of now, for the first time.
            if attempt in self.committed or task.attempt != attempt:
                raise SimulationError(f"attempt {attempt} of {task.key} was committed again")
            self.committed.add(attempt)

    def _check_strikes(self, event: WorkerDied) -> None:
        for key, _ in event.running:
            task = self.cluster.scheduler.machine.tasks.get(key)
            if task is not None and task.strikes > self.struck[key] + self.bystander[key]:
                raise SimulationError(
                    f"{task!r} has {task.strikes} strikes; it was running at fewer unexplained deaths"
                )

    # What users see

    def read(self, client: ClientProcess, record: Record, data: bytes | memoryview) -> None:
        """Check a value."""
        value = calls.read_value(data)
        if value not in client.user.names.expected(record):
            raise SimulationError(f"{client.me} read a wrong value of {record.key}: {bytes(data[:80])!r}")

    def settled(self, client: ClientProcess, record: Record) -> None:
        """Check an outcome at the moment in which the user learns it."""
        self.outcomes[record.status] += 1
        # With the record, so that no other one can get its id.
        self.settled_as[id(record)] = (record, record.status)
        if record.status is FINISHED:
            if record.data is not None:
                self.read(client, record, record.data)
        elif record.status is CANCELLED:
            self._check_cancelled(client, record)
        elif record.status in (ERROR, LOST):
            self._check_error(client, record)

    def _check_cancelled(self, client: ClientProcess, record: Record) -> None:
        if self.was_restarted or record.refs <= 0:
            return  # the second: the user dropped the last future while something waited for it
        for name in self.ancestors_of(record.key):
            if name.startswith(SHARED) or {client.number, -1} & self.cancels.get(name, set()):
                return
        raise SimulationError(f"{client.me} sees {record.key} cancelled, and nobody asked for it")

    def _check_error(self, client: ClientProcess, record: Record) -> None:
        error = record.error
        # Without its scheduler all that it has is lost, whatever became of it.
        if client.machine.gone:
            return
        # The argument of a large call has a key of its own, and stands for its call.
        if error is None or Key(error.key.partition("-call-")[0]) not in self.ancestors_of(record.key):
            raise SimulationError(f"{record.key} erred because of {error!r}, which is none of its inputs")
        if not self._is_deserved(error):
            raise SimulationError(f"{client.me} sees {record.key} end with an error that nothing explains: {error!r}")

    def _is_deserved(self, error: TaskError) -> bool:
        key = error.key
        if error.kind == "lost":
            if key.startswith(SHARED):
                return True  # it was cancelled for everybody, or its name was taken
            if key in self.may_be_lost or key in self.held_by_name or self.was_restarted:
                return True
            return any(self.cancels.get(name) for name in self.ancestors_of(Key(key.partition("-call-")[0])))
        if error.kind == "killed":
            # Once at most: after a first death a call runs alone, so a second one is nobody else's doing.
            return self.struck[key] + min(1, self.bystander[key]) >= self.cluster.settings.strikes
        if error.kind == "full" or "StoreFullError" in error.text:
            return self.was_disk_full or self._inputs_of(key) > self.cluster.plan.behaviour.memory
        task = self.cluster.plan.tasks.get(key)
        if task is None:
            return False
        call = task.call
        if error.kind == "exception":
            if call.nature == calls.FLAKY:
                # It raises so many times; with as many retries it has to return.
                return task.retries < call.times and "raises" in error.text
            return call.nature in (calls.RAISES, calls.UNWRITABLE)
        return False

    def _inputs_of(self, key: Key) -> int:
        """How many bytes of inputs a call needs in memory at once."""
        plan = self.cluster.plan
        task = plan.tasks.get(key)
        inputs = task.call.inputs if task is not None else ()
        argument = pages(calls.LARGE_CALL) if task is not None and task.has_large_call else 0
        return argument + sum(
            pages(plan.tasks[name].call.nbytes if name in plan.tasks else plan.placed[name]) for name in inputs
        )

    def ancestors_of(self, key: Key) -> set[Key]:
        """A key and all that it is computed from."""
        # Names that are made up while it runs aren't in the plan.
        known = self.ancestors.get(key)
        return known if known is not None else {key, Key(key.removesuffix(AGAIN))}

    # When all is over

    def check_quiet(self) -> None:
        """Check every future once the world is calm and nothing moves any more."""
        for client in self.cluster.clients.values():
            if client.asked:
                raise SimulationError(f"{client.me} still waits for answers to {client.asked}")
            for key, held in client.futures.items():
                for record in held:
                    if record.status is PENDING:
                        raise SimulationError(f"{client.me} still waits for {key}: {self.explain(key)}")
                    # A future that ended stays as it is, unless its user asked for another try.
                    if record.status is FINISHED and self.settled_as[id(record)][1] == ERROR and not self.was_retried:
                        raise SimulationError(f"{client.me} was told that {key} erred, and later that it finished")
                    if record.status is FINISHED and client.checked.get(key) is not record:
                        raise SimulationError(f"{client.me} could not read {key}: {self.explain(key)}")

    def explain(self, key: Key) -> str:
        """What the scheduler says about a key."""
        from himalia.scheduler.explaining.task import explain

        return (
            f"{self.cluster.scheduler.machine.tasks.get(key)!r}: {explain(self.cluster.scheduler.machine.state, key)}"
        )

    def check_empty(self) -> None:
        """Check that nothing is left after everybody let go of everything."""
        left = {name: what for name, what in self._leftovers().items() if what}
        if left:
            raise SimulationError(f"something is left after everything was released: {left}")

    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not any(self._leftovers().values())

    def check_books(self) -> None:
        """Check that both sides of every session always believed the same, and that no call ran without need."""
        state = self.cluster.scheduler.machine.state
        # Repairing hides it from users; here it is the bug itself.
        if state.drift_repaired:
            raise SimulationError(f"{state.drift_repaired} times a nanny and the scheduler believed different things")
        if self.is_peaceful:
            for key, count in self.executions.items():
                if key.startswith(OWN):
                    continue
                # Where nothing breaks, nothing may be run twice, whether or not users see it.
                if count > self.submissions[key] * (1 + self.cluster.plan.tasks[key].retries):
                    raise SimulationError(f"{key} ran {count} times; it was submitted {self.submissions[key]} times")

    def is_deserted(self) -> bool:
        """Whether the scheduler has forgotten all clients."""
        state = self.cluster.scheduler.machine.state
        return not (state.clients or state.functions)

    def check_deserted(self) -> None:
        """Check that clients that left have left nothing."""
        state = self.cluster.scheduler.machine.state
        if not self.is_deserted():
            raise SimulationError(f"clients left, and there are still {list(state.clients)}, {list(state.functions)}")

    def _leftovers(self) -> dict[str, object]:
        state = self.cluster.scheduler.machine.state
        found: dict[str, object] = {
            "tasks": list(state.tasks),
            "queue": state.queue,
            "requirements": list(state.requirements),
            "requests": list(self.cluster.scheduler.machine.state.questions.unanswered),
        }
        for host in state.hosts.values():
            # Workers stay, what they were taken for must not.
            used = [worker.used for worker in host.workers.values() if any(worker.used.values()) or worker.assigned]
            found[f"{host.id} resources in use"] = used
            # A sum of floats that came and went ends a little beside zero.
            found[f"{host.id} occupancy"] = host.occupancy > 1e-9
            found[f"{host.id} assigned"] = list(host.assigned)
            found[f"{host.id} zombies"] = list(host.zombies)
            found[f"{host.id} held"] = list(host.held)
        for nanny in self.cluster.nannies.values():
            found |= {f"{nanny.me} {name}": what for name, what in nanny.leftovers().items()}
        for client in self.cluster.clients.values():
            found[f"{client.me} records"] = list(client.machine.records)
        return found

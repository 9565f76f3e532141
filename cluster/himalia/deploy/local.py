"""A cluster on this machine: ``LocalCluster()``.

Defaults follow from the CPUs and the memory that this process may use.  The cluster is reached by a Unix socket in a
private directory, and by TCP only where that is asked for.  Everything ends with the object: at ``close()``,
when it is garbage collected, when this process exits, and, by the leash of its children, when this process is killed.
"""

from __future__ import annotations

import math
import secrets
import threading
import weakref
from typing import TYPE_CHECKING

from himalia.comm.addresses import parse
from himalia.deploy.cluster import ADVICE, Cluster
from himalia.deploy.dashboard.process import DEFAULT_ADDRESS, Door, why_none
from himalia.deploy.layout import choose_layout
from himalia.deploy.local_launch import START_TIMEOUT, Launch
from himalia.deploy.local_plan import LaunchPlan
from himalia.deploy.network import LOOPBACK, contact_host, listen_address, secure
from himalia.errors import HimaliaError, UsageError
from himalia.follow.arrivals import wait_for_workers
from himalia.registry import clusters
from himalia.system import cpu_count
from himalia.system import memory_limit as memory_of_machine

if TYPE_CHECKING:
    from himalia.comm.security import Credentials


class LocalCluster(Cluster):
    """A scheduler, a nanny and its workers on this machine.

    Parameters
    ----------
    n_workers, threads_per_worker : int, optional
        Left out: what fits the CPUs that this process may use; up to four CPUs a worker each, beyond that about as many
        workers as threads in each.
    memory_limit : str, float or None
        Of each worker: ``"auto"`` (a fair share), ``"4 GiB"``, bytes, a fraction of the machine's (a float), ``None``:
        no limit.
    name : str, optional
        By which ``Client("name")`` and ``himalia stop`` find it; made up if left out.
    local_directory : str, optional
        Where results go that don't fit into memory; a subdirectory is made there, and removed at the end.
    resources : dict of str to float, optional
        What each worker offers to ``submit(resources=…)``.
    env : dict of str to str, optional
        Environment of the workers, beside this process's.
    asynchronous : bool
        ``True``: use it by ``async with`` or ``await``, and await what its methods return.
    host : str, optional
        Also listen at this host's address, for clients and workers elsewhere; TLS if it is not loopback.
    scheduler_port : int, optional
        The port for that; 0 or left out: any.
    dashboard_address : str, int or None
        Where the dashboard listens on this host: a port, ``":8787"`` (if that is taken, any other), ``":0"`` (any),
        ``None``: no dashboard.  ``dashboard_link`` opens it; its server starts with the first visitor.
    silence_logs : bool or int
        ``False`` shows what scheduler and nanny write on their stderr; ``get_logs()`` has it in any case.

    Examples
    --------
    >>> from himalia import Client, LocalCluster
    >>> with LocalCluster(n_workers=2) as cluster, Client(cluster) as client:  # doctest: +SKIP
    ...     client.submit(sum, [1, 2, 3]).result()
    6
    """

    def __init__(
        self,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        memory_limit: str | float | None = "auto",
        name: str | None = None,
        local_directory: str | None = None,
        resources: dict[str, float] | None = None,
        env: dict[str, str] | None = None,
        asynchronous: bool = False,
        *,
        host: str | None = None,
        scheduler_port: int | None = None,
        dashboard_address: str | int | None = DEFAULT_ADDRESS,
        silence_logs: bool | int = True,
    ) -> None:
        super().__init__(name=clusters.check_name(name or new_name()), asynchronous=asynchronous)
        layout = choose_layout(
            cpus=cpu_count(),
            memory=memory_of_machine(),
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            memory_limit=memory_limit,
        )
        self.expected = layout.nworkers
        # Whatever can be wrong with an argument is found above and here, before anything is started.
        listeners = choose_listeners(host, scheduler_port)
        credentials, certificate = secure(listeners)
        self._launched = Launch(
            LaunchPlan(
                name=self.name,
                credentials=credentials,
                layout=layout,
                listen=listeners,
                certificate=certificate,
                nanny_listen=choose_nanny_listener(listeners),
                local_directory=local_directory,
                resources=check_resources(resources),
                env=check_env(env),
                kind=type(self).__name__,
                forward_logs=silence_logs is False,
                dashboard_address=dashboard_address,
            )
        )
        # On the launch, which knows nothing of this object: else it would keep it alive.
        self._finalizer = weakref.finalize(self, abandon, self._launched)
        self._finalizer.atexit = False  # local_launch.py ends what still runs then
        if not asynchronous:
            self._launch()

    def _start(self) -> None:
        # Only now: source_factory() and Client take addresses as the sign that somebody is there.
        self.addresses = self._launched.start()
        try:
            self._await_workers()
            self._launched.is_up = True
        except BaseException:
            self._launched.close()
            raise

    def _await_workers(self) -> None:
        """Wait until all workers are up, so that one that can't start is an error here and not a wait later."""
        wanted, check = self.expected or 0, self._launched.check
        try:
            # Not _ask(), which refuses before the status is "running".
            self._talk(
                lambda control: wait_for_workers(control.info, wanted, START_TIMEOUT, check=check, advice=ADVICE)
            )
        except HimaliaError:
            # A process that died says more than the session that it broke.
            check()
            raise

    def _scale(self, n: int) -> None:
        self._launched.wanted = n  # also of a nanny that is started again meanwhile
        super()._scale(n)

    def _stop(self) -> None:
        self._launched.close()
        # After the end: if that was cut short, the finalizer and the interpreter's exit try again.
        self._finalizer.detach()

    def _failure(self) -> str:
        return self._launched.failure()

    def own_logs(self) -> dict[str, str]:
        return {child.title: "\n".join(child.lines) for child in self._launched.processes}

    def _dashboard(self) -> Door | None:
        return self._launched.find_door(self.scheduler_address)

    def why_no_dashboard(self) -> str:
        return "" if self._launched.door is not None else why_none(self._launched.plan.dashboard_address)

    @property
    def credentials(self) -> Credentials:
        """What a client needs to be let in; its repr shows no secret."""
        return self._launched.plan.credentials


def new_name() -> str:
    """Return the name of a cluster that was given none."""
    return f"himalia-{secrets.token_hex(3)}"


def choose_listeners(host: str | None, port: int | None) -> list[str]:
    """Return where the scheduler listens beside its Unix socket; nowhere unless that was asked for."""
    if host is None and port is None:
        return []
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"scheduler_port={port} is no port number.")
    # A port without a host is for this machine's other programs: nobody else is let in by that.
    return [listen_address(host or LOOPBACK, port or 0)]


def choose_nanny_listener(listeners: list[str]) -> str:
    """Return where the nanny offers results: as near as those are who can reach the scheduler."""
    return listen_address(contact_host(parse(listeners[0]).host), 0) if listeners else ""


def check_resources(resources: dict[str, float] | None) -> dict[str, float]:
    """Return the resources of each worker as numbers."""
    try:
        found = {str(name): float(amount) for name, amount in (resources or {}).items()}
    # A list, text for a number, None: all are said in the words of the option.
    except (AttributeError, TypeError, ValueError):
        raise UsageError(f"resources={resources!r} must be numbers by name, like {{'GPU': 1}}.") from None
    if any(not 0 <= amount < math.inf for amount in found.values()):
        raise UsageError(f"resources={resources!r}: an amount is a number from 0 on.")
    return found


def check_env(env: dict[str, str] | None) -> dict[str, str]:
    """Return the workers' extra environment as text."""
    found = {str(name): str(value) for name, value in (env or {}).items()}
    for name, value in found.items():
        # These would fail when a worker starts, in another process and with less to say.
        if not name or "=" in name or "\0" in name + value:
            raise UsageError(f"env: {name!r} can't be the name of an environment variable, or its value has a NUL.")
    return found


def abandon(launch: Launch) -> None:
    """End a cluster whose object was garbage collected; it must not wait, wherever that happens."""
    try:
        # The collector runs in any thread at any moment: in a loop, or under a lock that the end needs.
        threading.Thread(target=launch.close, name="himalia-close", daemon=True).start()
    except RuntimeError:  # the interpreter is exiting, which ends it as well
        pass

"""The command line: ``himalia`` ``scheduler``, ``worker``, ``ls``, ``stop``, ``dashboard`` and others.

Whatever goes wrong is one line on stderr and an exit code: 2 for a command that can't be meant, 1 for one that failed.
What the commands do is in ``deploy/``: ``scheduler_worker_commands.py``, ``ls_stop_commands.py`` and
``dashboard/command.py``; ``replay`` is in ``himalia_widgets/replay/show.py``.  It is imported when a command runs, so
that help comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from himalia.errors import HimaliaError, UsageError
from himalia.show.units import parse_duration, parse_resources
from himalia.version import __version__

if TYPE_CHECKING:
    ParamType = click.ParamType[object]
else:  # generic for type checkers only before click 8.4
    ParamType = click.ParamType


class Parsed(ParamType):
    """An option that a function of ours reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return what the text means; click calls it with converted values too."""
        # A default is one already.
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


DURATION = Parsed("duration", parse_duration)
RESOURCES = Parsed("resources", parse_resources)
PORT = click.IntRange(0, 65535)
CLUSTER_FILE = ("--cluster-file", "--scheduler-file", "cluster_file")
"""The option's name, and what Dask calls it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="himalia")
def commands() -> None:
    """Start, list and stop clusters of himalia."""


@commands.command()
@click.option("--host", default="", help="Address to listen at; beyond this host it speaks TLS.  [default: 127.0.0.1]")
@click.option("--interface", default="", help="Network interface to listen at, like eth0.")
@click.option("--port", type=PORT, default=8786, show_default=True, help="Port to listen at; 0: any free one.")
@click.option(
    "--dashboard-address", default=":8787", show_default=True, help="Port of the dashboard on loopback, or none."
)
@click.option("--name", default="", help="Name of the cluster, for Client(name) and `himalia stop`.")
@click.option(
    *CLUSTER_FILE,
    default="",
    help="Also write the cluster file (with its secret, mode 0600) here.  [--scheduler-file: as in Dask]",
)
@click.option(
    "--idle-timeout", type=DURATION, default=0.0, help="End after so long without work, like 5m.  [default: never]"
)
def scheduler(
    host: str,
    interface: str,
    port: int,
    dashboard_address: str,
    name: str,
    cluster_file: str,
    idle_timeout: float,
) -> int:
    """Start a scheduler, and run it until it is stopped.

    It ends at ctrl-C, SIGTERM, `himalia stop`, or after its idle timeout.
    """
    from himalia.deploy.scheduler_worker_commands import SchedulerOptions, run_scheduler

    return run_scheduler(
        SchedulerOptions(
            host=host,
            interface=interface,
            port=port,
            name=name,
            cluster_file=cluster_file,
            idle_timeout=idle_timeout,
            dashboard_address=None if dashboard_address in ("", "none") else dashboard_address,
        )
    )


@commands.command()
@click.argument("address", default="", metavar="[SCHEDULER]")
@click.option(
    "--nworkers", default="auto", show_default=True, help="Worker processes: a number, or what fits the CPUs."
)
@click.option(
    "--nthreads", type=click.IntRange(1), default=None, help="Calls that a worker runs at a time.  [default: what fits]"
)
@click.option(
    "--memory-limit", default="auto", show_default=True, help='Of each worker: "4 GiB", 0.5 (of this host), auto, none.'
)
@click.option("--name", default="", help="Name of the nanny; its workers are named after it.  [default: this host's]")
@click.option("--local-directory", default="", help="Where results go that don't fit into memory.")
@click.option("--host", default="", help="Address at which others fetch results from here.")
@click.option("--interface", default="", help="Network interface for that, like eth0.")
@click.option("--resources", type=RESOURCES, default=None, help='What each worker offers, like "GPU=1,foo=2".')
@click.option(
    "--death-timeout", type=DURATION, default=30.0, help="How long to wait for the scheduler.  [default: 30s]"
)
@click.option("--lifetime", type=DURATION, default=0.0, help="End after so long.  [default: never]")
@click.option(
    *CLUSTER_FILE,
    default="",
    help="Cluster file with the secret, if not this user's.  [--scheduler-file: as in Dask]",
)
def worker(
    address: str,
    nworkers: str,
    nthreads: int | None,
    memory_limit: str,
    name: str,
    local_directory: str,
    host: str,
    interface: str,
    resources: dict[str, float] | None,
    death_timeout: float,
    lifetime: float,
    cluster_file: str,
) -> int:
    """Start workers on this host for a scheduler.

    SCHEDULER is its address (tcp://host:8786) or its cluster's name.  Without it they are for the cluster of the file
    that --cluster-file or HIMALIA_CLUSTER_FILE names, or else for the only cluster of yours that runs.  The cluster's
    secret is taken from this user's cluster files, or from the file that was named.
    """
    from himalia.deploy.layout import choose_layout
    from himalia.deploy.scheduler_worker_commands import WorkerOptions, run_worker
    from himalia.system import cpu_count
    from himalia.system import memory_limit as memory_of_machine

    cpus = cpu_count()
    layout = choose_layout(
        cpus=cpus,
        memory=memory_of_machine(),
        n_workers=count_workers(nworkers, cpus),
        threads_per_worker=nthreads,
        memory_limit=memory_limit,
    )
    return run_worker(
        WorkerOptions(
            scheduler=address,
            cluster_file=cluster_file,
            layout=layout,
            name=name,
            local_directory=local_directory,
            host=host,
            interface=interface,
            resources=resources or {},
            death_timeout=death_timeout,
            lifetime=lifetime,
        )
    )


def count_workers(text: str, cpus: int) -> int | None:
    """Return the number of workers that ``--nworkers`` means; negative counts back from the CPUs, as in Dask."""
    if text == "auto":
        return None
    try:
        count = int(text)
    except ValueError:
        raise UsageError(f"--nworkers {text!r} is neither a number nor auto.") from None
    if count < 0:
        count += cpus + 1
    if count < 1:
        raise UsageError(f"--nworkers {text} leaves no worker on {cpus} CPUs.")
    return count


@commands.command()
def ls() -> int:
    """List this user's running clusters."""
    from himalia.deploy.ls_stop_commands import list_clusters

    return list_clusters()


@commands.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def stop(names: tuple[str, ...]) -> int:
    """Stop clusters by their names, with all their workers."""
    from himalia.deploy.ls_stop_commands import stop_clusters

    return stop_clusters(names)


@commands.command()
@click.argument("files", nargs=-1, required=True, metavar="RECORDING [RECORDING]")
@click.option("--port", type=PORT, default=0, help="Port to listen at on this host.  [default: any free one]")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
def replay(files: tuple[str, ...], port: int, no_browser: bool) -> int:
    """Show the dashboard of a recording, or of two side by side.

    In Python, cluster.record("run.himalia") makes one.
    """
    from himalia.views import find_views, missing

    if len(files) > 2:
        raise UsageError(f"{len(files)} recordings were given; one is replayed, or two are compared.")
    views = find_views()
    if views is None:
        raise UsageError(missing())
    code: int = views.replay(files, port=port, browse=not no_browser)
    return code


@commands.command()
@click.argument("name", default="", metavar="[NAME]")
@click.option("--page", default="status", show_default=True, help="Page to open.")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@click.option(
    "--metrics", is_flag=True, help="Print where Prometheus finds its numbers, and the file with the token for them."
)
def dashboard(name: str, page: str, no_browser: bool, metrics: bool) -> int:
    """Open the dashboard of the cluster NAME by a fresh link.

    The link is good once and for ten minutes.  Without NAME the dashboard is that of the cluster whose file
    HIMALIA_CLUSTER_FILE names, or of the only cluster of yours that runs.  A cluster without a dashboard gets it from
    this command, until ctrl-C or the end of the cluster.
    """
    from himalia.deploy.dashboard.command import show_dashboard, show_metrics

    if metrics:
        return show_metrics(name)
    return show_dashboard(name, page, browser=not no_browser)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; what went wrong is one line on stderr."""
    if sys.platform == "win32":
        return complain("himalia runs on Linux and macOS; on Windows use it inside WSL.", 1)
    try:
        # Not standalone: click would print its errors in three lines and exit by itself.
        code = commands.main(args=arguments, prog_name="himalia", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "himalia"
        return complain(f"{command}: {one_line(error.format_message())} See {command} --help.", 2)
    except click.ClickException as error:
        return complain(f"himalia: {one_line(error.format_message())}", error.exit_code)
    except UsageError as error:
        return complain(f"himalia: {one_line(str(error))}", 2)
    except HimaliaError as error:
        return complain(f"himalia: {one_line(str(error))}", 1)
    except (click.Abort, KeyboardInterrupt):
        # 128 + SIGINT, as a shell says it.
        return 130
    # `himalia ls | head`: whoever read has enough.
    except BrokenPipeError:
        return 1
    return code if isinstance(code, int) else 0


def complain(text: str, code: int) -> int:
    """Print why it doesn't work, and return the exit code."""
    click.echo(text, err=True)
    return code


def one_line(text: str) -> str:
    """Return ``text`` without line breaks."""
    # One line: scripts and logs read it, and an error's text may have been wrapped for a notebook.
    return " ".join(text.split())

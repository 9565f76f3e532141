"""``python -m himalia.scheduler``: a scheduler started by another process, configured by standard input."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from himalia.decoders import convert
from himalia.errors import HimaliaError
from himalia.run import fail, read_config, run
from himalia.scheduler.config import SchedulerConfig
from himalia.scheduler.shell import serve


def main() -> int:
    """Read the configuration, serve, return the exit code."""
    try:
        config = convert(read_config(), SchedulerConfig)
    except (ValueError, msgspec.ValidationError) as error:
        return fail(f"the scheduler's configuration can't be read: {error}")

    async def serve_until_stopped(stop: asyncio.Event) -> int:
        try:
            await serve(config, stop)
        except HimaliaError as error:
            return fail(str(error))
        return 0

    return run(serve_until_stopped, leash=config.leash)


if __name__ == "__main__":
    sys.exit(main())

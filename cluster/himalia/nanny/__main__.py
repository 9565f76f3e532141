"""``python -m himalia.nanny``: a nanny started by another process, configured by standard input."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec

from himalia.decoders import convert
from himalia.errors import HimaliaError
from himalia.nanny.config import NannyConfig
from himalia.nanny.shell import serve
from himalia.run import fail, read_config, run


def main() -> int:
    """Read the configuration, serve, return the exit code."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    try:
        config = convert(read_config(), NannyConfig)
    except (ValueError, msgspec.ValidationError) as error:
        return fail(f"the nanny's configuration can't be read: {error}")

    async def serve_until_stopped(stop: asyncio.Event) -> int:
        try:
            return await serve(config, stop)
        except HimaliaError as error:
            return fail(str(error))

    return run(serve_until_stopped, leash=config.leash)


if __name__ == "__main__":
    sys.exit(main())

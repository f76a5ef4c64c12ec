"""The command ``nearbucket serve``."""

from __future__ import annotations

import gc
import logging
import os
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nearbucket.cli.output import NEEDS_ATTENTION, Config, exit_code
from nearbucket.config.file import load
from nearbucket.errors import ProxyError
from nearbucket.s3.sdk.direct_access import refuse_variables

if TYPE_CHECKING:
    from nearbucket.supervisor.supervisor import Supervisor
    from nearbucket.telemetry.process_log import ProcessLog

_log = logging.getLogger(__name__)


def serve(
    config: Config = None,
    *,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Get the ports of the instance that has the same addresses, which then ends.",
        ),
    ] = False,
) -> None:
    """Run the proxy. SIGTERM drains and stops it, SIGHUP reloads the configuration.

    Exit code 1 if the drain had to cut answers.
    """
    gc.disable()  # the supervisor enables it when it is ready; there is little garbage before
    import uvloop  # noqa: PLC0415  # these imports would make every other command slower

    from nearbucket.regions.feed import stored_list  # noqa: PLC0415
    from nearbucket.s3 import tls_trust  # noqa: F401, PLC0415  # before aiohttp: see there
    from nearbucket.supervisor.config_source import source_of  # noqa: PLC0415
    from nearbucket.supervisor.prefork import launch  # noqa: PLC0415
    from nearbucket.supervisor.snapshot import snapshot_of  # noqa: PLC0415
    from nearbucket.supervisor.sockets.listener_tls import read_key_pair  # noqa: PLC0415
    from nearbucket.supervisor.supervisor import Supervisor  # noqa: PLC0415
    from nearbucket.telemetry.process_log import ProcessLog  # noqa: PLC0415

    source = source_of(config)  # before it is read: a change from then on is a reload
    settings = load(config)
    refuse_variables(settings)
    log = ProcessLog(settings.log.format, "supervisor")
    logging.getLogger().setLevel(settings.log.level.upper())
    try:
        stored = stored_list(settings.regions)
        certificate = read_key_pair(settings.listen.tls) if settings.listen.tls else None
        snapshot = snapshot_of(settings, stored.ranges if stored else None, certificate)
        workers = launch(snapshot, take_over=take_over)
        log.start()
        uvloop.run(_run_and_exit(Supervisor(source, snapshot, workers, stored), log))
    finally:
        log.close()


async def _run_and_exit(supervisor: Supervisor, log: ProcessLog) -> NoReturn:
    """Run the supervisor, and end the process.

    The event loop is not closed: that would wait for threads, in which a name may be looked up that
    no server answers for, or a file read whose network file system is gone.
    """
    try:
        code = 0 if await supervisor.run() else NEEDS_ATTENTION
    except Exception as error:  # standard error may have no reader: only the log may write
        expected = isinstance(error, ProxyError | OSError)
        _log.critical("%s", error, exc_info=None if expected else error)
        code = exit_code(error)
    log.close()
    os._exit(code)

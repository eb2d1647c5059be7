"""Calls a function on the workers of a Dask cluster that is there already.

Addresses, certificates (TLS) and time limits are those of Dask's own configuration.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from replay.errors import InputError, ReplayError, printable
from replay.urls import hide_credentials

__all__ = ["run_on_cluster"]

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Seconds without a connection to the scheduler after which it counts as gone, unless Dask is told otherwise.
_PATIENCE, _DEFAULT_PATIENCE = "10s", "30s"
#: Tasks per thread of the workers that are given out ahead of the result that is waited for.
_AHEAD = 4


def run_on_cluster(function: Callable[[_T], _R], tasks: Sequence[_T], address: str) -> Iterator[_R]:
    """The results in the order of the tasks, from the workers of the scheduler at an address.

    An error of the function is raised here. Raises InputError where no scheduler answers at the address,
    where it goes away, and where workers are lost again and again.
    """
    distributed = _distributed()
    shown = printable(hide_credentials(address))
    _check_address(address, shown)
    with _quiet(), contextlib.ExitStack() as stack:
        try:
            client = _connect(distributed, address)
        except ReplayError:
            raise
        except Exception as error:  # Dask and the network have many kinds
            raise InputError(f"--scheduler {shown}: no scheduler answers there: {_say(error)}") from None
        stack.callback(client.end)
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(
                f"--scheduler {shown}: the scheduler has no worker. Start one: dask worker {shown}"
            )
        waiting: deque[Any] = deque()
        for task in tasks:
            waiting.append(client.submit(function, task, pure=False))
            if len(waiting) >= _AHEAD * threads:
                yield _result(waiting.popleft(), client, shown, distributed)
        while waiting:
            yield _result(waiting.popleft(), client, shown, distributed)


def _result(future: Any, client: Any, shown: str, distributed: Any) -> Any:
    """The result of a task, as soon as it is there, or what has become of the cluster."""
    while True:
        try:
            return future.result(timeout=1)
        except ReplayError:
            raise
        except TimeoutError as error:
            if future.status == "error":
                raise InputError(f"--scheduler {shown}: {_say(error)}") from None
            if client.status in ("closed", "closing"):
                raise InputError(f"--scheduler {shown}: the scheduler is gone") from None
        except distributed.KilledWorker:
            raise InputError(
                f"--scheduler {shown}: several workers were lost over one file of the store. The memory of"
                " a worker may be too small for it"
            ) from None
        except ModuleNotFoundError as error:
            raise InputError(
                f"--scheduler {shown}: a worker lacks a package: {_say(error)}. Install stop-replay[store] on"
                " the workers"
            ) from None
        except Exception as error:
            if future.status == "cancelled" or isinstance(error, OSError):
                raise InputError(f"--scheduler {shown}: the scheduler is gone") from None
            raise


def _connect(distributed: Any, address: str) -> Any:
    """A client of the scheduler at an address. ``end`` closes it, and waits at most 2 s for a scheduler.

    A client that cannot connect is closed before its error is raised. The garbage collector closes none: it
    may come while the next client holds the lock that closing waits for (distributed 2026.8).
    """

    class Client(distributed.Client):  # type: ignore[misc]
        def __init__(self) -> None:
            try:
                super().__init__(address, set_as_default=False)
            except BaseException:
                self.end()
                raise

        def end(self) -> None:
            with contextlib.suppress(Exception):
                self.close(timeout=2)
            with contextlib.suppress(Exception):  # of a client whose start or end has failed
                self._loop_runner.stop()

        def __del__(self) -> None:
            pass

    return Client()


def _check_address(address: str, shown: str) -> None:
    scheme, separator, rest = address.partition("://")
    if not separator or not rest or scheme not in ("tcp", "tls", "ws", "wss", "ucx"):
        raise InputError(
            f"--scheduler {shown} is not the address of a Dask scheduler, which is like"
            " tcp://host:8786 or tls://host:8786"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging what is raised as an error anyway, and from waiting for ever."""
    import dask

    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    limit = "distributed.comm.timeouts.connect"
    chosen = {limit: _PATIENCE} if dask.config.get(limit) == _DEFAULT_PATIENCE else {}
    try:
        with dask.config.set(chosen):
            yield
    finally:
        logger.setLevel(before)


def _say(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return printable(hide_credentials(text[0] if text else type(error).__name__))


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError(
            "--scheduler uses Dask, which is not installed. Install it with: pip install"
            " 'stop-replay[cluster,store]'"
        ) from None
    return distributed

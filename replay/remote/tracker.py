"""The runs of one experiment of an MLflow server, through MLflow's own client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from replay.errors import printable, suggestion
from replay.remote.failures import RemoteError, reason
from replay.remote.filesystems import missing_extra
from replay.urls import Url

__all__ = ["Tracker", "reason_of"]

#: Settings of MLflow's client; the user's own win. Without them it tries for minutes, and reports its use.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
#: All runs, so that deleted ones are reported (ViewType.ALL).
_ALL = 3
#: Runs of one answer.
_PAGE = 1000
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
_REASONS = {
    "UNAUTHENTICATED": "access is denied (the server answers 401); MLflow's client takes credentials from"
    " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or from MLFLOW_TRACKING_TOKEN",
    "CUSTOMER_UNAUTHORIZED": "access is denied (the server answers 401)",
    "PERMISSION_DENIED": "access is denied (the server answers 403)",
    "TEMPORARILY_UNAVAILABLE": "the server answers 503",
    "REQUEST_LIMIT_EXCEEDED": "the server answers 429",
}


def reason_of(error: BaseException) -> str:
    """Why a request of MLflow's client failed, without any text of the error itself."""
    code = str(getattr(error, "error_code", ""))
    if code in _REASONS:
        return _REASONS[code]
    text = reason(error)
    return (
        text
        if "MlflowException" not in text and "RestException" not in text
        else ("the server does not answer as an MLflow server does")
    )


class Tracker:
    """An experiment of a server, by ``mlflow:http://host:5000/EXPERIMENT``, or ``…/base#EXPERIMENT`` where
    the server is below a path. The experiment is given by its name or its id.

    Raises RemoteError where MLflow is missing and where there is no such experiment.
    """

    def __init__(self, url: Url) -> None:
        self._url = url
        server, name = _parts(url)
        with self.settings():
            self._client = _client(server)
            try:
                self.experiment = self._find(name)
            except RemoteError:
                raise
            except Exception as error:
                raise self._failed(error) from None

    def _failed(self, error: BaseException) -> RemoteError:
        return RemoteError(f"{self._url}: {reason_of(error)}")

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """The settings of the client, as long as it is used."""
        added = [name for name in _SETTINGS if name not in os.environ]
        os.environ.update({name: _SETTINGS[name] for name in added})
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)

    def _find(self, name: str) -> Any:
        plain = unquote(name)
        found = None
        for text in dict.fromkeys(filter(None, (name, plain))):
            found = found or self._client.get_experiment_by_name(text)
        if found is None and plain.isdecimal():
            with _absent():
                found = self._client.get_experiment(plain)
        if found is None:
            raise self._unknown(plain)
        if found.lifecycle_stage == "deleted":
            raise RemoteError(
                f"{self._url}: the experiment {printable(repr(found.name))} is deleted;"
                " restore it in MLflow to have it read"
            )
        return found

    def _unknown(self, name: str) -> RemoteError:
        known = [one.name for one in _pages(self._client.search_experiments)]
        if not name:
            return RemoteError(
                f"{self._url} names no experiment; write its name or its id behind the server."
                f" The server has: {printable(suggestion(name, known))}"
            )
        return RemoteError(
            f"{self._url}: the server has no experiment {printable(repr(name))}."
            f" It has: {printable(suggestion(name, known))}"
        )

    def runs(self, most: int) -> tuple[list[Any], bool]:
        """The first runs of the experiment, deleted ones too, and whether there are more."""
        ids = [self.experiment.experiment_id]
        runs: list[Any] = []
        try:
            for run in _pages(self._client.search_runs, ids, run_view_type=_ALL):
                if len(runs) == most:
                    return runs, True
                runs.append(run)
        except Exception as error:
            raise self._failed(error) from None
        return runs, False

    def history(self, run: str, key: str) -> list[Any]:
        """All values of a metric, in the order of their times."""
        values: list[Any] = self._client.get_metric_history(run, key)
        return sorted(values, key=lambda value: int(value.timestamp))


def _parts(url: Url) -> tuple[str, str]:
    """The address of the server, and the name of the experiment as it is written in the URL."""
    address, mark, name = url.given.partition(":")[2].partition("#")
    address = address.partition("?")[0]
    scheme, host = address.partition("://")[0].lower(), urlsplit(address).netloc
    if scheme not in ("http", "https"):
        raise RemoteError(
            f"{url}: mlflow: takes the address of a server, as in mlflow:http://host:5000/EXPERIMENT;"
            " for logs that lie here, give the path of mlruns or of mlflow.db"
        )
    if mark:
        return address.rstrip("/"), name.partition("?")[0]
    return f"{scheme}://{host}", address.partition("://")[2].partition("/")[2].rstrip("/")


def _client(server: str) -> Any:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise missing_extra("mlflow", "mlflow-skinny or mlflow") from None
    return MlflowClient(tracking_uri=server, registry_uri=server)


@contextlib.contextmanager
def _absent() -> Iterator[None]:
    """Suppress the server's error that something does not exist."""
    try:
        yield
    except Exception as error:
        if str(getattr(error, "error_code", "")) not in _ABSENT:
            raise


def _pages(search: Any, *arguments: Any, **more: Any) -> Iterable[Any]:
    """All results of a search, page by page."""
    token = None
    while True:
        page = search(*arguments, max_results=_PAGE, page_token=token, **more)
        yield from page
        if not page.token or page.token == token:
            return
        token = page.token

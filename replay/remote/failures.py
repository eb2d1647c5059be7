"""Why a remote file could not be had, in a few words that hold no credentials.

The messages of the libraries hold whole URLs, so none of them is shown: the type of an error and the status
that a server answered say enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from replay.errors import InputError

__all__ = ["Incomplete", "RemoteError", "reason"]


class Incomplete(Exception):
    """The connection ended before a file did."""

    def __init__(self, got: int, size: int) -> None:
        super().__init__(f"{got} of {size}")
        self.got, self.size = got, size


class RemoteError(InputError):
    """A URL cannot be listed or read at all."""


_DENIED = "access is denied{status}"
#: By the name of a type of error; of several in a chain, the first of this table is the reason.
_REASONS = {
    "NoCredentialsError": "there are no credentials for it",
    "PartialCredentialsError": "its credentials are incomplete",
    "TokenRetrievalError": "its credentials have run out",
    "GatedRepoError": "access to this repository has to be asked for",
    "RepositoryNotFoundError": "the repository does not exist, or it is private and no valid token is set",
    "RevisionNotFoundError": "the revision does not exist",
    "SSLCertVerificationError": "the server's certificate is not valid",
    "ClientConnectorCertificateError": "the server's certificate is not valid",
    "SSLError": "no secure connection can be made",
    "gaierror": "the name of the host is unknown",
    "ClientConnectorDNSError": "the name of the host is unknown",
    "ConnectionRefusedError": "the host cannot be reached",
    "NewConnectionError": "the host cannot be reached",
    "ConnectTimeoutError": "the host does not answer",
    "ConnectTimeout": "the host does not answer",
    "ServerTimeoutError": "the server does not answer in time",
    "SocketTimeoutError": "the server does not answer in time",
    "ReadTimeout": "the server does not answer in time",
    "ReadTimeoutError": "the server does not answer in time",
    "FSTimeoutError": "the server does not answer in time",
    "TimeoutError": "the server does not answer in time",
    "ClientPayloadError": "the connection ended before the file did",
    "IncompleteReadError": "the connection ended before the file did",
    "IncompleteRead": "the connection ended before the file did",
    "ResponseStreamingError": "the connection ended before the file did",
    "RemoteProtocolError": "the connection ended before the file did",
    "ServerDisconnectedError": "the server closed the connection",
    "EndpointConnectionError": "the host cannot be reached",
    "ClientConnectorError": "the host cannot be reached",
    "ConnectError": "the host cannot be reached",
    "OfflineModeIsEnabled": "the Hub is switched off by HF_HUB_OFFLINE",
    "ConnectionError": "the host cannot be reached",
    "InvalidURL": "it is not a valid URL",
    "InvalidUrlClientError": "it is not a valid URL",
    "NonHttpUrlClientError": "it is not a valid URL",
    "PermissionError": _DENIED.format(status=""),
    "FileNotFoundError": "no such file or folder",
    "NotADirectoryError": "it is not a folder",
}


def reason(error: BaseException) -> str:
    """Why something failed, without any text of the error itself."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, Incomplete):
            return f"the connection ended after {one.got:,} of {one.size:,} bytes"
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    for status in filter(None, map(_status, chain)):
        if status in (401, 403) and not names & {"GatedRepoError", "RepositoryNotFoundError"}:
            return _DENIED.format(status=f" (the server answers {status})")
        if status == 404 and "RepositoryNotFoundError" not in names:
            return "no such file or folder (the server answers 404)"
        if status >= 400 and not names & {"GatedRepoError", "RepositoryNotFoundError"}:
            return f"the server answers {status}"
    for name, text in _REASONS.items():
        if name in names:
            return text
    for one in chain:
        if isinstance(one, OSError) and one.errno and one.strerror:
            import os

            return os.strerror(one.errno)
    return f"the request failed ({type(chain[-1]).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it."""
    seen = set[int]()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [argument for argument in one.args if isinstance(argument, BaseException)]
        named = [getattr(one, name, None) for name in ("os_error", "reason")]
        pending += [
            one.__cause__,
            one.__context__,
            *inner,
            *(other for other in named if isinstance(other, BaseException)),
        ]


def _status(error: BaseException) -> int | None:
    """The status that a server answered, as the libraries keep it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        found: Any = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None) or getattr(error, "status", None)
    return found if isinstance(found, int) and 100 <= found < 600 else None

"""The file systems of fsspec, by the scheme of a URL, and the extras of this package that bring them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from replay.remote.failures import RemoteError, reason
from replay.urls import Url

__all__ = ["file_system", "limited_time", "missing_extra", "quiet_libraries"]

#: The extra that brings what a scheme needs.
_EXTRAS = {
    "http": "remote",
    "https": "remote",
    "memory": "remote",
    "hf": "hf",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "mlflow": "mlflow",
}
_LOGGERS = (
    "aiobotocore aiohttp asyncio botocore databricks fsspec gcsfs google huggingface_hub mlflow requests s3fs"
    " urllib3 httpx"
)
#: Characters that are left as they are in a URL that is encoded already.
_SAFE = "%/:=&?~#+!$,;'@()*[]"


def missing_extra(scheme: str, what: str) -> RemoteError:
    """The error that a package is missing, with the extra that brings it."""
    extra = _EXTRAS[scheme]
    return RemoteError(
        f"{scheme}: URLs need {what}, which is not installed; install the extra {extra}:"
        f" pip install 'stop-replay[{extra}]'"
    )


def file_system(url: Url) -> tuple[Any, str]:
    """The file system of a URL, and the path of the URL in it.

    Raises RemoteError where a package is missing, and where fsspec does not know the scheme.
    """
    scheme = url.scheme
    try:
        import fsspec
    except ImportError:
        raise missing_extra(scheme if scheme in _EXTRAS else "https", "fsspec") from None
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        if scheme in _EXTRAS:
            package = {"remote": "aiohttp", "hf": "huggingface_hub", "s3": "s3fs", "gcs": "gcsfs"}
            raise missing_extra(scheme, package[_EXTRAS[scheme]]) from None
        raise RemoteError(
            f"{url}: fsspec needs another package for {scheme}:// URLs; the documentation of fsspec names it"
        ) from None
    except ValueError:
        known = "hf://, s3://, gs://, https:// or mlflow:https://"
        raise RemoteError(
            f"{url}: {scheme}:// is not a scheme that can be read; use {known}, or another one of fsspec"
        ) from None
    given = quote(url.given, safe=_SAFE) if scheme in ("http", "https") else url.given
    try:
        system, path = fsspec.core.url_to_fs(given, **_options(scheme))
    except Exception as error:
        raise RemoteError(f"{url}: {reason(error)}") from None
    if scheme in ("s3", "s3a"):
        system.retries = 2  # each of which botocore tries again; with five, a silent server takes minutes
    return system, path


def _options(scheme: str) -> dict[str, Any]:
    """Options of a file system: timeouts, and the user's own configuration, which wins over them."""
    from fsspec.config import conf

    options: dict[str, Any] = {"skip_instance_cache": True}
    if scheme in ("http", "https"):
        import aiohttp

        stated = {**conf.get("http", {}), **conf.get(scheme, {})}
        # with trust_env, passwords of ~/.netrc and proxies of the environment are used
        client = {"trust_env": True, **stated.get("client_kwargs", {})}
        limit = client.get("timeout", 60)
        if isinstance(limit, int | float):  # a file of settings can hold only numbers
            client["timeout"] = aiohttp.ClientTimeout(
                total=None, sock_connect=min(limit, 20), sock_read=limit
            )
        stated["client_kwargs"] = client
        return {**options, **stated, "encoded": True}
    if scheme in ("s3", "s3a"):
        stated = conf.get("s3", {}).get("config_kwargs", {})
        limits = {"connect_timeout": 10, "read_timeout": 20, "retries": {"max_attempts": 1}}
        return {**options, "config_kwargs": {**limits, **stated}}
    if scheme in ("gs", "gcs"):
        import aiohttp

        # as it is, the client waits for five minutes, six times
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=20)
        return {"requests_timeout": limit, **options, **conf.get("gs", {}), **conf.get("gcs", {})}
    return options


@contextlib.contextmanager
def limited_time(scheme: str) -> Iterator[None]:
    """Give requests to the Hub that have no time limit the one of downloads: its client lists without one."""
    hooks: list[Any] | None = None
    if scheme == "hf":
        from huggingface_hub import constants, get_session

        limit = dict.fromkeys(("connect", "read", "write", "pool"), constants.HF_HUB_DOWNLOAD_TIMEOUT)
        # older versions have a client without hooks
        hooks = getattr(get_session(), "event_hooks", {}).get("request")

    def state_limit(request: Any) -> None:
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions["timeout"] = limit

    if hooks is not None:
        hooks.append(state_limit)
    try:
        yield
    finally:
        if hooks is not None:
            hooks.remove(state_limit)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries from writing to stderr: their messages hold whole URLs."""
    loggers = [logging.getLogger(name) for name in _LOGGERS.split()]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

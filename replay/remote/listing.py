"""What lies below a URL: names and sizes, without opening anything."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from replay.data.finding import Finding, Kind
from replay.remote.failures import RemoteError, reason
from replay.remote.limits import Limits
from replay.remote.names import Names
from replay.remote.safe_paths import safe_name
from replay.urls import Url

__all__ = ["Entry", "Listing", "list_files"]

#: How an HTML page begins, which a web server gives for a folder.
_PAGES = (b"<!doctype html", b"<html", b"<?xml")


class Entry(NamedTuple):
    """A remote file: its path below the URL, its path in the file system, and its size, if it is stated."""

    path: PurePosixPath
    remote: str
    size: int | None


@dataclass
class Listing:
    """The files below a URL, by their paths; ``is_file`` says that the URL is that of one file."""

    url: Url
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_file: bool = False


def list_files(url: Url, system: Any, path: str, names: Names, limits: Limits) -> Listing:
    """List a URL. Raises RemoteError where it cannot be listed."""
    listing = Listing(url)
    web = url.scheme in ("http", "https")
    try:
        if web:
            is_file, path = _is_file_of_web(system, path)
            size = None
        else:
            info = system.info(path)
            is_file, size = info["type"] != "directory", info.get("size")
        if is_file:
            name = (unquote if web else str)(path.partition("?")[0].rstrip("/").rpartition("/")[2])
            listing.is_file = True
            if not safe_name(name):
                raise RemoteError(f"{url}: its last part is not a name that a file can have")
            listing.entries.append(Entry(PurePosixPath(name), path, size))
            return listing
        found = _of_hub(system, path) if url.scheme == "hf" else _walk(listing, system, path, names, limits)
        for entry in found:
            if len(listing.entries) >= limits.names:
                listing.findings.append(_over(url, "names", limits.names))
                break
            listing.entries.append(entry)
    except RemoteError:
        raise
    except Exception as error:
        raise RemoteError(f"{url}: {reason(error)}") from None
    listing.entries = [
        entry for entry in _safe(listing) if all(names.enters(part) for part in entry.path.parts[:-1])
    ]
    if web and not listing.entries:
        raise RemoteError(
            f"{url}: the server's page lists no files; give the URL of a log, or of a folder that the server"
            " lists"
        )
    return listing


def _over(url: Url, part: str, limit: int, left: int | None = None) -> Finding:
    return Finding(Kind.REMOTE_LIMIT, log=str(url), facts={"part": part, "limit": limit, "left": left})


def _safe(listing: Listing) -> list[Entry]:
    """The entries whose names cannot lead out of a folder, in order, each once."""
    kept: dict[PurePosixPath, Entry] = {}
    refused = []
    for entry in sorted(listing.entries):
        if all(map(safe_name, entry.path.parts)):
            kept.setdefault(entry.path, entry)
        else:
            refused.append(str(entry.path))
    if refused:
        facts = {"names": tuple(refused[:20]), "count": len(refused)}
        listing.findings.append(Finding(Kind.UNSAFE_NAME, log=str(listing.url), facts=facts))
    return list(kept.values())


def _is_file_of_web(system: Any, path: str) -> tuple[bool, str]:
    """Whether a URL of a web server is a file and not a page that lists a folder; the URL to list."""
    plain, mark, query = path.partition("?")
    if plain.endswith("/"):
        return False, path
    with system.open(path, "rb", block_size=1 << 16) as file:
        head = bytes(file.read(1 << 10)).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return (False, f"{plain}/{mark}{query}") if head.startswith(_PAGES) else (True, path)


def _of_hub(system: Any, path: str) -> Iterator[Entry]:
    """All files of a repository, which the Hub lists page by page, whatever their folder."""
    root = system.resolve_path(path).unresolve()
    for name, info in system.find(path, detail=True).items():
        if name.startswith(f"{root}/"):
            yield Entry(PurePosixPath(name[len(root) + 1 :]), name, info.get("size"))


def _walk(listing: Listing, system: Any, root: str, names: Names, limits: Limits) -> Iterator[Entry]:
    """All files below a folder, folder by folder, several at once. A folder that cannot be listed costs only
    itself, except for the first.
    """
    pending = [(PurePosixPath(), root)]
    seen = {root.rstrip("/")}
    with ThreadPoolExecutor(limits.requests) as pool:
        for depth in range(limits.depth + 1):
            if not pending:
                return
            if depth == limits.depth:
                listing.findings.append(_over(listing.url, "depth", limits.depth, len(pending)))
                return
            attempts = pool.map(lambda folder: _attempt(system, folder[1]), pending)
            below = []
            for (path, folder), (children, error) in zip(pending, attempts, strict=True):
                if error is not None:
                    if not depth:
                        raise error
                    log = f"{listing.url}/{path}"
                    facts = {"error": reason(error), "entry": "folder"}
                    listing.findings.append(Finding(Kind.UNREADABLE, log=log, facts=facts))
                for name, child, size, is_folder in _children(listing.url, folder, children):
                    if not is_folder or not safe_name(name):
                        yield Entry(path / name, child, size)  # an unsafe name is reported with the others
                    elif names.enters(name) and child.rstrip("/") not in seen:
                        seen.add(child.rstrip("/"))
                        below.append((path / name, child))
            pending = below[: limits.names]


def _attempt(system: Any, folder: str) -> tuple[list[dict[str, Any]], Exception | None]:
    try:
        return system.ls(folder, detail=True), None
    except Exception as error:
        return [], error


def _children(
    url: Url, folder: str, infos: list[dict[str, Any]]
) -> Iterator[tuple[str, str, int | None, bool]]:
    """The names in a folder, with their paths in the file system, sizes, and whether they are folders.

    A page of a web server may link to anything: only what lies in the folder counts.
    """
    web = url.scheme in ("http", "https")
    above = folder.partition("?")[0].rstrip("/") + "/"
    for info in sorted(infos, key=lambda info: str(info["name"])):
        child = str(info["name"])
        if web and ("?" in child or "#" in child):
            continue  # the links that sort a page
        if not child.startswith(above):
            continue
        rest = child[len(above) :]
        name = rest.rstrip("/")
        name = unquote(name) if web else name
        if not name or (web and "/" in rest.rstrip("/")):
            continue
        yield name, child, info.get("size"), info["type"] == "directory"

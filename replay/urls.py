"""URLs in the place of paths: what is one, how it is shown, and where the copies of its files lie.

A URL may hold credentials: a user and a password, or a query that is signed. They are needed to fetch it and
are never shown, so the text of a `Url` is the URL without them.

A separate module so that every layer can use it without importing another layer.
"""

from __future__ import annotations

import os
import re
import sys
import weakref
from pathlib import Path
from typing import Any

from replay.errors import InputError

if sys.platform == "win32":
    from pathlib import WindowsPath as _SystemPath
else:
    from pathlib import PosixPath as _SystemPath

__all__ = [
    "Copies",
    "Url",
    "as_path",
    "copy_of",
    "hide_credentials",
    "is_url",
    "remove_copies",
    "without_credentials",
]

#: Two letters at least, since one is a drive of Windows.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]+"
_URL = re.compile(rf"(?:mlflow:)?{_SCHEME}://", re.IGNORECASE)
#: A URL whose slashes `pathlib` has made one.
_JOINED = re.compile(r"((?:mlflow:)?(?:hf|s3a?|gc?s|https?|memory|abfss?|az|ftp|sftp)):/(?=[^/])")
#: A URL with a user or a query inside a text.
_IN_TEXT = re.compile(rf"(?:mlflow:)?{_SCHEME}://[^\s'\"<>`]+", re.IGNORECASE)
#: Schemes whose first part is a name and not a host, so that an "@" in it is no user.
_WITHOUT_USER = ("hf",)
#: Schemes of URLs that end at a "#"; elsewhere it belongs to a name.
_WITH_FRAGMENT = ("http", "https")

#: Parts of a query that are credentials or change with every signature.
_OF_SIGNATURE = re.compile(
    r"x-(?:amz|goog|ms)-.*|.*(?:sig|token|key|secret|pass|credential|auth|expires).*|policy|googleaccessid"
    r"|s[eprtv]|spr|sk(?:oid|tid|[estv])",
    re.IGNORECASE,
)
#: How the digest of a query is shown.
_MARK = re.compile(r"query-[0-9a-f]{8}(?![0-9a-f])")

#: The URLs with credentials that were given, by the text that shows them.
_GIVEN: dict[str, str] = {}
#: The folders of copies, newest last.
_COPIES: list[weakref.ref[Copies]] = []


def is_url(text: object) -> bool:
    """Whether a text is a URL and not the path of a file."""
    return isinstance(text, str) and _URL.match(text) is not None


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment, and without a slash at its end. The digest of a query
    that a shown URL has stays.
    """
    tracker = url[:7] if url.lower().startswith("mlflow:") else ""
    scheme, _, rest = url[len(tracker) :].partition("://")
    rest, mark, experiment = rest.partition("#") if tracker else (rest, "", "")
    rest = re.split(r"[?#]" if scheme.lower() in _WITH_FRAGMENT else r"\?", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    if "@" in host and scheme.lower() not in _WITHOUT_USER:
        host = host.rpartition("@")[2]
    elif "@" in path and ":" in host and not host.rpartition(":")[2].isdecimal():
        host, slash, path = rest.rpartition("@")[2].partition("/")  # a password with a slash in it
    shown = host + slash + path
    digest = _MARK.match(url.partition("?")[2])
    if digest is not None:
        return f"{tracker}{scheme}://{shown}?{digest[0]}"
    return f"{tracker}{scheme}://{shown.rstrip('/')}{mark}{experiment.partition('?')[0]}"


def _with_digest(url: str) -> str:
    """A URL as it is shown. Two files of one path differ by their queries: a digest stands for the query, as
    far as it is no credential, so that a lock tells them apart and outlasts signatures.
    """
    shown, query = without_credentials(url), url.partition("?")[2].partition("#")[0]
    folder = url.partition("?")[0].endswith("/")
    parts = [
        part for part in query.split("&") if part and not _OF_SIGNATURE.fullmatch(part.partition("=")[0])
    ]
    if folder or not parts or "?" in shown or url.lower().startswith("mlflow:"):
        return shown
    import hashlib

    return f"{shown}?query-{hashlib.sha256('&'.join(sorted(parts)).encode()).hexdigest()[:8]}"


def hide_credentials(text: str) -> str:
    """A text without the credentials of the URLs in it, and of those that were given."""
    for shown, given in _GIVEN.items():
        if given in text:
            text = text.replace(given, shown)
        for secret in _secrets(given):
            if secret in text:
                text = text.replace(secret, "…")
    return _IN_TEXT.sub(_shown_match, text) if "://" in text else text


def _shown_match(match: re.Match[str]) -> str:
    url = match[0]
    return without_credentials(url) if re.search(r"[@?]", url) else url


def _secrets(url: str) -> list[str]:
    """The parts of a URL that must not be shown: its password, and the values of its query."""
    rest = url.partition("://")[2]
    user = rest.partition("/")[0].rpartition("@")[0]
    password = user.partition(":")[2]
    query = rest.partition("?")[2].partition("#")[0]
    values = [value for pair in query.split("&") if len(value := pair.partition("=")[2]) >= 16]
    return [secret for secret in (query, password, *values) if len(secret) >= 6]


class Url(_SystemPath):
    """A URL where a path is expected. Its text shows no credentials; ``given`` is the whole URL.

    Nothing is at this path: what a URL names is read from a copy.
    """

    given: str
    _shown: str

    def __new__(cls, given: str) -> Url:
        shown = _with_digest(given)
        url = super().__new__(cls, shown)
        # a URL that was shown without its credentials is still read with them
        url.given = _GIVEN.get(given, given)
        url._shown = shown
        if url.given.rstrip("/") != shown:
            _GIVEN[shown] = url.given
        return url

    def __str__(self) -> str:
        return getattr(self, "_shown", None) or super().__str__()

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Url, (str(self),)

    @property
    def scheme(self) -> str:
        """What comes before the first colon, in lower case."""
        return self.given.partition(":")[0].lower()


def as_path(text: str | os.PathLike[str]) -> Path:
    """The path that a text names, or the `Url`. Raises InputError for a URL that names nothing."""
    if isinstance(text, Url):
        return text
    plain = os.fspath(text)
    if isinstance(plain, bytes):
        return Path(os.fsdecode(plain))
    if not isinstance(text, str) and not os.path.exists(plain):  # noqa: PTH110 - a path may be invalid
        plain = _JOINED.sub(r"\1://", plain, count=1)
    if not is_url(plain):
        return Path(plain)
    if plain.lower().startswith("file://"):
        return _of_file(plain)
    if not plain.partition("://")[2].strip("/") and not plain.lower().startswith("memory:"):
        raise InputError(f"{plain} names nothing; write what to read behind it, as in hf://org/model")
    return Url(plain)


def _of_file(url: str) -> Path:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))


class Copies:
    """A private folder for the copies of remote files. It is removed when nothing refers to it any more, at
    the latest when Python ends.
    """

    def __init__(self) -> None:
        import shutil
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="replay-")).resolve()
        self.names: dict[Path, str] = {}
        self.process = os.getpid()
        self.remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        _COPIES.append(weakref.ref(self))

    def add(self, path: Path, shown: str) -> None:
        """Note that a file is the copy of a URL, or that a folder holds the copies of what is below it; a
        file before its folder.
        """
        self.names[path] = shown

    def shown(self, text: str) -> str:
        """A text in which each path of a copy is the URL that it was copied from."""
        if str(self.folder) not in text:
            return text
        for folder, name in self.names.items():
            shown = name.replace("\\", "\\\\")
            text = re.sub(re.escape(str(folder)) + r"(?=$|[^\w.\-])", shown, text)
        return text

    def find(self, source: str) -> Path | None:
        """The copy of a remote file, if it is here."""
        for folder, name in self.names.items():
            if source == name or source.startswith(f"{name}/"):
                path = folder / source[len(name) + 1 :] if source != name else folder
                if path.exists():
                    return path
        return None


def remove_copies() -> None:
    """Remove all copies that this process has made, at once: it is about to be ended."""
    import shutil

    for reference in _COPIES:
        copies = reference()
        if copies is None or copies.process != os.getpid():
            continue
        for _ in range(3):  # what is being fetched may be written once more
            shutil.rmtree(copies.folder, ignore_errors=True)


def copy_of(source: str | Path) -> Path:
    """Where the bytes of a source lie: the copy of a URL, or the path itself."""
    text = str(source)
    if is_url(text):
        for reference in reversed(_COPIES):
            copies = reference()
            path = None if copies is None else copies.find(text)
            if path is not None:
                return path
    return Path(source)

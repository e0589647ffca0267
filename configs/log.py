"""Logging to stderr, for people or as JSON lines, and the hiding of camera passwords.

Every line that leaves through `configure_logging` passes `redact_url`. Errors, database rows and reports that name a
camera's address call it themselves.
"""

from __future__ import annotations

import json as json_codec
import logging
import re
import sys
from datetime import UTC, datetime

HIDDEN = "***"

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*"
# One address: up to white space, or up to the next address after a separator ("rtsp://a,rtsp://b").
_URL = re.compile(rf"(?P<scheme>{_SCHEME}://)(?P<rest>(?:(?![,;|\"'<>][\[({{]*{_SCHEME}://)\S)*)")
# A password with a space in it: name, colon, something that is no port, and an @ later in the line.
_SPACED_USERINFO = re.compile(rf"(?P<scheme>{_SCHEME}://)[^\s:/?#@\[\]*]+:(?!\d*(?:[^\w]|$))[^@\n]*@(?=[\w\[])")
# A whole address in percent-encoding, as in "?source=rtsp%3A%2F%2Fuser%3Apassword%40camera".
_ENCODED_USERINFO = re.compile(rf"(?P<scheme>{_SCHEME}%3A%2F%2F)\S*%40", re.IGNORECASE)
# An address without a scheme: "admin:password@10.0.0.5".
_BARE_USERINFO = re.compile(r"(?<![^\s\"'(=])[^\s:/@\"'(=*]+:(?!//)[^\s]*@(?=[\w\[])")
_WELL_FORMED = re.compile(r"(?:[^/?#@\s]*@)?(?:[\w.\-]+|\[[0-9A-Fa-f:.%]+\])(?::\d*)?(?=[/?#])")

_SECRET_KEY = r"[\w.\-]*(?:pas|pwd|psw|pw|token|secret|auth|key|sig|cred|sess|sid|user|usr|login)[\w.\-]*"
# A value goes on over "&" where no "key=" follows, for passwords with an "&" that nobody encoded.
_QUERY_SECRET = re.compile(rf"(?P<key>[?&;]{_SECRET_KEY}=)[^&\s]*(?:&(?![^&=\s]*=)[^&\s]*)*", re.IGNORECASE)
_ENCODED_QUERY_SECRET = re.compile(rf"(?P<key>(?:%3F|%26){_SECRET_KEY}%3D)(?:(?!%26)[^&\s])*", re.IGNORECASE)
# Properties of GStreamer elements: rtspsrc user-id=admin user-pw="a b".
_PROPERTY_SECRET = re.compile(
    r"(?P<key>(?<![\w?&;])(?:user-id|user-pw|proxy-id|proxy-pw|user(?:name)?|passw(?:or)?d|token|secret)\s*=\s*)"
    r"(?:\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\S+)",
    re.IGNORECASE,
)


def redact_url(url: str) -> str:
    """Hides user names, passwords and tokens of every address in a text.

    Works on a lone URL and on longer texts such as an error message or a GStreamer description. Passwords may hold
    ``@``, ``/``, ``?``, ``#``, ``:`` or percent-encoding. Where an address can be read in two ways, more is hidden:
    ``rtsp://camera/a@b`` becomes ``rtsp://***@b``, because ``camera/a`` might be a password. Redacting twice changes
    nothing.

    Args:
        url: A URL, or any text.

    Returns:
        The text with ``***`` in place of each secret.

    Example:
        >>> redact_url("rtsp://admin:p@ss/word@10.0.0.5:554/main")
        'rtsp://***@10.0.0.5:554/main'
        >>> redact_url("cannot open http://10.0.0.5/video?password=a%26b&channel=1: timed out")
        'cannot open http://10.0.0.5/video?password=***&channel=1: timed out'
    """
    text = _SPACED_USERINFO.sub(_hide_spaced, url)
    text = _URL.sub(lambda match: match["scheme"] + _redact_address(match["rest"]), text)
    text = _ENCODED_USERINFO.sub(rf"\g<scheme>{HIDDEN}%40", text)
    text = _BARE_USERINFO.sub(f"{HIDDEN}@", text)
    for pattern in (_QUERY_SECRET, _ENCODED_QUERY_SECRET, _PROPERTY_SECRET):
        text = pattern.sub(rf"\g<key>{HIDDEN}", text)
    return text


def configure_logging(verbose: bool, json: bool) -> None:
    """Sends the log of this program to stderr; a second call replaces the first.

    Args:
        verbose: Debug messages too. Other libraries stay at warnings either way.
        json: One JSON object a line (``time``, ``level``, ``logger``, ``message``, ``error`` where there is one)
            instead of text for people.
    """
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if json else _TextFormatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("reid_pipeline").setLevel(logging.DEBUG if verbose else logging.INFO)


def _hide_spaced(match: re.Match[str]) -> str:
    """Hides a user name and password with a space; an address without one is left to `_redact_address`."""
    return f"{match['scheme']}{HIDDEN}@" if re.search(r"\s", match[0]) else match[0]


def _redact_address(rest: str) -> str:
    """Hides user and password in what follows ``scheme://``."""
    if _WELL_FORMED.match(rest):  # then an @ may stand in a secret of the query: hide that first
        rest = _QUERY_SECRET.sub(rf"\g<key>{HIDDEN}", rest)
    _, at, address = rest.rpartition("@")
    if at:
        return f"{HIDDEN}@{address}"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, at, host = authority.rpartition("%40")
    return f"{HIDDEN}%40{host}{rest[len(authority) :]}" if at else rest


class _StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is now, so that a live progress display can put the line above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # as every logging handler: a broken stderr must not stop the program
            self.handleError(record)


class _TextFormatter(logging.Formatter):
    """``08:00:01 WARNING lobby: stream lost`` with local time; the level is left out at INFO."""

    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = f"{clock} {level}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact_url(text)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; times are UTC with milliseconds."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_url(record.getMessage()),
        }
        if record.exc_info:
            fields["error"] = redact_url(self.formatException(record.exc_info))
        return json_codec.dumps(fields, ensure_ascii=False)

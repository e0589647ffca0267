"""Events to a web address: each as JSON by POST, tried again until it is accepted, so at least once."""

from __future__ import annotations

import hashlib
import hmac
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from reid_pipeline.configs.output_settings import WebhookSettings
from reid_pipeline.pipeline.events import Event, event_line
from reid_pipeline.pipeline.outlet import NotDelivered

SIGNATURE: Final = "X-Reid-Signature"
_PATIENCE_S: Final = 4.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})  # of the 4xx; the others say that the event is at fault


class WebhookDelivery:
    """See `outlet.Delivery`. Messages name the host alone, as addresses often carry a token.

    Args:
        settings: The address.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._host = urlsplit(settings.url.get_secret_value()).hostname
        self._opener: OpenerDirector = build_opener(_NoRedirects)

    def open(self) -> None:
        """See `outlet.Delivery`."""

    def deliver(self, event: Event) -> bool:
        """See `outlet.Delivery`."""
        try:
            with self._opener.open(self._request(event_line(event).encode()), timeout=_PATIENCE_S):
                return True
        except HTTPError as error:
            with error:
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    return False
                raise NotDelivered(f"{self._host} answers {error.code}") from error
        except (URLError, HTTPException, OSError) as error:
            raise NotDelivered(f"{self._host} cannot be reached: {type(error).__name__}") from error

    def close(self) -> int:
        """See `outlet.Delivery`."""
        return 0

    def _request(self, body: bytes) -> Request:
        headers = {"Content-Type": "application/json", "User-Agent": "reid-pipeline"}
        if self._settings.secret is not None:
            headers[SIGNATURE] = sign(body, self._settings.secret.get_secret_value())
        return Request(self._settings.url.get_secret_value(), body, headers, method="POST")


def sign(body: bytes, secret: str) -> str:
    """What a receiver has to compute of a body, to know that it is from here: ``sha256=`` and the HMAC, hexadecimal.

    Example:
        >>> sign(b"{}", "secret")[:15]
        'sha256=77325902'
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class _NoRedirects(HTTPRedirectHandler):
    """A POST that is redirected would become a GET without its body: better to fail."""

    def redirect_request(self, *_: object) -> None:
        return None

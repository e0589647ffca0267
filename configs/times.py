"""Times and time zones as they stand in cameras.yaml."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError


def find_timezone(name: str) -> tzinfo:
    """Finds a time zone of the IANA database; ``UTC`` needs no database.

    Raises:
        KeyError: There is no such time zone on this machine.
        ValueError: The name can be none.
    """
    return UTC if name == "UTC" else ZoneInfo(name)


def check_timezone(name: str) -> str:
    """Gives the name back.

    Raises:
        PydanticCustomError: There is no such time zone.
    """
    try:
        find_timezone(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: names of folders in the database, such as "Europe"
        raise PydanticCustomError("timezone", "no such time zone") from error
    return name


def parse_time(text: object) -> datetime:
    """Reads an ISO-8601 time, which may lack a time zone.

    Raises:
        PydanticCustomError: It is none.
    """
    if isinstance(text, datetime):
        return text
    try:
        if isinstance(text, str):
            return datetime.fromisoformat(text)
    except ValueError as error:
        raise PydanticCustomError("time", "not a time") from error
    raise PydanticCustomError("time", "not a time")

"""What the user can mend, and what can go wrong in the configuration.

UserError          the user's input is at fault: one line, exit 2; the base of such errors in every package
└── ConfigError    a setting is wrong
"""

from __future__ import annotations


class UserError(Exception):
    """The user's input is at fault; the message is one line: what, which value, what is expected, what to do."""


class ConfigError(UserError):
    """A setting is wrong; the message names file, line, key, value and what is expected."""

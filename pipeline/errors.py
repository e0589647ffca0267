"""What can go wrong in the pipeline, as one tree.

PipelineError                 anything this package raises on purpose
├── InputError                the user's input is at fault: one line, exit 2
│   └── SourceNotFound        no such file, folder or device, or it cannot be read as video
├── SourceLost                a camera went away; it may come back
├── SourceBroken              a file breaks off in the middle: what was read is kept, exit 3
└── WorkerDied                a thread of the run ended by an error: exit 1
"""

from __future__ import annotations

from reid_pipeline.configs.errors import UserError


class PipelineError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(PipelineError, UserError):
    """The user's input is at fault; the message is one line that says what to do."""


class SourceNotFound(InputError):
    """A source does not exist or cannot be read as video at all."""


class SourceLost(PipelineError):
    """A live camera stopped delivering; reconnecting may help."""


class SourceBroken(PipelineError):
    """A file breaks off before its end; the frames so far are good."""


class WorkerDied(PipelineError):
    """A thread of the run ended by an error, so the run cannot go on."""

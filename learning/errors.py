"""What can go wrong in learning, as one tree.

LearningError                 anything this package raises on purpose
└── TrainingError (UserError) what a training was given is at fault: one line, exit 2
    ├── WorkFolderError       the work folder belongs to another training
    ├── ThinMaterial          there are too few crops to learn from
    └── Diverged              the losses or gradients are no numbers any more

Stopped (BaseException)       a signal asked for an orderly end
"""

from __future__ import annotations

from reid_pipeline.configs.errors import UserError


class LearningError(Exception):
    """Base of every error that this package raises on purpose."""


class TrainingError(LearningError, UserError):
    """What a training was given is at fault; the message is one line that says what to do."""


class Diverged(TrainingError):
    """The losses or gradients are no numbers any more; the last checkpoint is from before."""


class Stopped(BaseException):
    """A signal asked for an orderly end; the message is its name. Nothing but the command itself catches it."""


class WorkFolderError(TrainingError):
    """The checkpoint or the recipe in the work folder is that of another training."""


class ThinMaterial(TrainingError):
    """There are too few crops to learn anything from."""

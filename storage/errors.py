"""What can go wrong in the storage, as one tree.

StorageError                  anything this package raises on purpose
├── InputError (UserError)    what the user gave is at fault: one line, exit 2
│   ├── DataDirError          it does not exist, is no folder or cannot be written
│   ├── DatabaseUnavailable   PostgreSQL cannot be reached, is too old or does not let us in
│   ├── MasterKeyError        the key of an encrypted site is missing, none, or another one
│   ├── NotASiteDatabase      the database is none, is damaged or belongs to another program
│   ├── NewerSchema           the database was written by a newer version of this program
│   ├── SiteBusy              another run is writing to it, or something is learning there
│   ├── CorrectionRefused     an operator's merge, split or undo names something wrong
│   ├── BackupError           a backup cannot be taken there, or is not whole
│   ├── NotAllowed            somebody's role or cameras do not allow it
│   ├── UserRefused           a user, their role, cameras or password cannot be so
│   ├── CaseRefused           a case or what it is to hold names something wrong
│   ├── WatchRefused          an entry of a watch list, or who is to approve it, cannot be so
│   ├── ErasureRefused        what is to be erased is held by a case, or is nothing
│   └── ModelError            a model, its card or its files cannot be used
│       └── PromotedModelMissing  the encoder that was promoted last is gone or changed
├── UnknownRecord             a camera, source, tracklet, identity or model that the database does not have
├── DownloadFailed            a file cannot be had from the network, or is not what was expected
├── IndexUnusable             the files of a vector index are missing, torn or of another version: build it anew
├── SealBroken                something encrypted was changed, or put in the place of another
│   └── KeyShredded           its key is gone, and so is it
├── CropError                 a crop's path is not one of ours, or its file is gone
├── ClipError                 the same of a clip
└── WriterFailed              the writer thread stopped by an error: nothing after the last commit was stored
"""

from __future__ import annotations

from reid_pipeline.configs.errors import UserError


class StorageError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(StorageError, UserError):
    """What the user gave is at fault; the message is one line that says what to do."""


class DataDirError(InputError):
    """The data folder does not exist, is no folder or cannot be written."""


class DatabaseUnavailable(InputError):
    """PostgreSQL cannot be reached, is too old, or does not let us in."""


class MasterKeyError(InputError):
    """The key of an encrypted site is missing, is none, or is another one."""


class NotASiteDatabase(InputError):
    """The database is none, is damaged or belongs to another program."""


class NewerSchema(InputError):
    """The database was written by a newer version of this program."""


class SiteBusy(InputError):
    """Another run is writing to this site, or something is learning there."""


class CorrectionRefused(InputError):
    """An operator's merge, split or undo names something that is not so."""


class BackupError(InputError):
    """A backup cannot be taken there, or is not whole."""


class NotAllowed(InputError):
    """Somebody's role, or the cameras that they may see, do not allow it."""


class UserRefused(InputError):
    """A user, their role, their cameras or their password cannot be so."""


class CaseRefused(InputError):
    """A case, or what it is to hold, names something that is not so."""


class WatchRefused(InputError):
    """An entry of a watch list, or what is done with it, cannot be so."""


class ErasureRefused(InputError):
    """What is to be erased is held by a case, or there is nothing of it."""


class ModelError(InputError):
    """A model, its card or its files cannot be used."""


class PromotedModelMissing(ModelError):
    """The encoder that was promoted last is gone or changed."""


class UnknownRecord(StorageError):
    """A camera, source, tracklet, identity or model is named that the database does not have."""


class DownloadFailed(StorageError):
    """A file cannot be had from the network, or is not what was expected; the message says what to do."""


class IndexUnusable(StorageError):
    """The files of a vector index are missing, torn or of another version; it has to be built anew."""


class SealBroken(StorageError):
    """Something encrypted was changed, or put in the place of another."""


class KeyShredded(SealBroken):
    """The key of something encrypted is gone, because all of its kind, camera and day is."""


class CropError(StorageError):
    """A crop's path is not one that this program writes, or its file is gone."""


class ClipError(StorageError):
    """A clip's path is not one that this program writes, or its file is gone."""


class WriterFailed(StorageError):
    """The writer thread stopped by an error; nothing after the last commit was stored."""

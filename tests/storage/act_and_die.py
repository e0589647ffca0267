"""Does something to a site and kills itself before or after a named step of it, for `test_kill_steps`.

A step is ``module:name`` or ``module:Class.name``, and how many calls of it are let through first.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.vector_index_sync import SiteIndex

ERASED = 2  # the identity


def erase(folder):
    with open_database(folder) as database, database.lock_for_run(), database.lock_for_learning():
        Erasures(database, Access("ada", Role.ADMIN)).erase(Target(identity=ERASED), "asked")


def retain(folder, before_us):
    with open_database(folder) as database:
        time_us = int(before_us)
        limits = Limits(crops=time_us, embeddings=time_us, corpus=time_us, tracks=time_us, events=time_us)
        retention = Retention(database)
        retention.account(retention.remove(limits), "retention")


def upgrade(folder):
    open_database(folder).close()


def index(folder):
    with open_database(folder) as database:
        own = SiteIndex(database, "m1")
        own.synchronise()
        own.save()


def ingest(folder):
    from tests.storage.run_until_killed import main

    main(folder)


ACTS = {each.__name__: each for each in (erase, retain, upgrade, index, ingest)}


def arm(step, when, calls):
    """Makes the step kill this process at its call number ``calls``, from 0."""
    module_name, _, name = step.partition(":")
    home = import_module(f"reid_pipeline.storage.{module_name}" if "." not in module_name else module_name)
    *outer, name = name.split(".")
    for each in outer:
        home = getattr(home, each)
    usual, left = getattr(home, name), [calls]

    def dying(*arguments, **named):
        left[0] -= 1
        if left[0] < 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = usual(*arguments, **named)
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    # A static method stays one; a method gets its object as a function does.
    setattr(home, name, staticmethod(dying) if isinstance(vars(home).get(name), staticmethod) else dying)


def main(act, folder, step, when, calls, *arguments):
    np.seterr(all="raise")
    if step != "-":
        arm(step, when, int(calls))
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    ACTS[act](Path(folder), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])

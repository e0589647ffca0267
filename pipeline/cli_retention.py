"""The command `retention`."""

from __future__ import annotations

import time
from dataclasses import asdict

from reid_pipeline.pipeline.cli_identity import ActorOption, CamerasArgument, DataOption
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output


def retention(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Remove what was kept long enough: pictures, vectors, tracklets, logs, reports, backups.

    A run of live cameras does so by itself; a run may go on beside it.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.pipeline.upkeep import limits_at, read_retention, remove_due
    from reid_pipeline.storage.permissions import Permission
    from reid_pipeline.storage.retention import Retention

    with open_site(cameras, data, actor=actor) as site:
        site.access.require_all_cameras(Permission.KEEP)
        removed = remove_due(site.database, limits_at(read_retention(site.settings), time.time_ns() // 1000))
        Retention(site.database).account(removed, site.access.name)
    counts = asdict(removed)
    if json_output:
        print_json(counts)
    else:
        print_table(("class", "removed"), [(name, f"{count:,}") for name, count in counts.items()])

"""The command `retention`."""

from __future__ import annotations

import time

from reid_pipeline.pipeline.cli_identity import ActorOption, CamerasArgument, DataOption
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output


def retention(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Remove what was kept long enough: pictures, vectors, footage, tracklets, logs, reports, backups.

    A run of live cameras does so by itself; a run may go on beside it.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.pipeline.upkeep import apply_retention

    with open_site(cameras, data, actor=actor) as site:
        counts = apply_retention(site, time.time_ns() // 1000)
    if json_output:
        print_json(counts)
    else:
        print_table(("class", "removed"), [(name, f"{count:,}") for name, count in counts.items()])

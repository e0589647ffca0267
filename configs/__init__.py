"""What a site is configured with, and how the program speaks.

- `settings`: every setting of cameras.yaml as a checked, frozen model, with its unit, bounds and default.
- `camera_settings`: those of the cameras. `output_settings`: those of what a run writes and whom it tells.
  `setting_types`: what all of them are made of.
- `durations`, `sizes`, `times`: values as they are written there.
- `floor_points`: whether the points of a floor and their places in metres can belong together.
- `loading`: cameras.yaml to `settings`, every mistake as one line that names file, line, key and value.
- `yaml_tree`: the file itself with line numbers, the environment filled in.
- `schema`: the JSON Schema of cameras.yaml (``cameras.schema.json``) for editors.
- `log`: logging to stderr, and `redact_url`, which hides the passwords of cameras.
- `errors`: `UserError`, the base of all faults of the user in every package, and `ConfigError`.
- ``template.yaml``: what `reid-pipeline init` writes.
"""

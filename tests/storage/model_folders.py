"""Model folders whose graph is any bytes: enough where nothing is computed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def make_model(folder: Path, content: bytes = b"graph", **changes: object) -> str:
    """Writes an encoder's folder, with changes to its card, and returns the model's hash."""
    from reid_pipeline.storage.model_card import load_model

    folder.mkdir(parents=True)
    (folder / "graph.onnx").write_bytes(content)
    card = {
        "name": folder.name,
        "task": "reid",
        "graph": "graph.onnx",
        "sha256": {"graph.onnx": hashlib.sha256(content).hexdigest()},
        "input": {"height": 16, "width": 8, "resize": "stretch", "colour": "RGB"},
        "output": {"head": "embedding", "dim": 3},
        "licence": "MIT",
    }
    (folder / "model.json").write_text(json.dumps(card | changes))
    return load_model(folder).identity or ""

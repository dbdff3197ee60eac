"""Slides of a few vectors, and a run so small that it takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

KINDS = ("tumour", "stroma", "necrosis")
QUESTION = "What tissue is this?"
WIDTHS = {"slide": 6, "region": 6, "patch": 8, "cell": 5}


def write_features(root: Path, name: str, kind: int, seed: int) -> None:
    """Write one slide as the release's files: two regions, whose vectors all say what kind it is of."""
    rng = np.random.default_rng(seed)

    def told(*shape: int) -> torch.Tensor:
        values = 0.2 * rng.standard_normal(shape)
        values[..., kind] += 2
        return torch.from_numpy(values.astype(np.float32))

    def put(folder: str, file: str, content: Any) -> None:
        (root / folder).mkdir(parents=True, exist_ok=True)
        torch.save(content, root / folder / file)

    indices = torch.tensor([[0, 17, 34], [5, 6, 7]])
    put("wsi", f"{name}.pt", told(6))
    put("region_4k", f"{name}.pt", told(2, 6))
    put("patches", f"{name}.pt", patches := told(2, 256, 8))
    chosen = torch.gather(patches, 1, indices[..., None].expand(-1, -1, 8))
    put("patches_filtered", f"{name}.pt", {"selected_features": chosen, "selected_indices": indices})
    cells = {
        "encoded_cell_features": told(2, 3, 5),
        "selected_patch_cell_level_indices": indices,
        "region_coords_level0": torch.tensor([[0, 0], [4096, 0]]),
        "region_has_detail_dump": torch.ones(2, dtype=torch.bool),
        "feature_dim": 5,
    }
    put(f"cells/{name}", "encoded_cell_features.pt", cells)
    (root / "coords_region4096_valid").mkdir(exist_ok=True)
    with h5py.File(root / "coords_region4096_valid" / f"{name}.h5", "w") as file:
        file.create_dataset("coords", data=np.array([[0, 0], [4096, 0]]))


def write_slides(folder: Path, count: int = 9) -> Path:
    """Write slides s0, s1, … of the three kinds in turn, and their questions; returns the CSV."""
    for i in range(count):
        write_features(folder / "features", f"s{i}", i % 3, seed=i)
    lines = ["slide,question,answer,patient"]
    lines += [f"s{i},{QUESTION},It is {KINDS[i % 3]}.,p{i}" for i in range(count)]
    file = folder / "questions.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def write_config(folder: Path, name: str, settled: bool = False, **changes: Any) -> Path:
    """Write a configuration of a tiny language model beside the slides, with fields changed.

    settled: tokens and language model are those of the stage before.
    """
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 256}
    sizes["initializer_range"] = 0.2  # narrow layers hear nothing at transformers' 0.02
    content = {
        "out": name,
        "data": {"files": ["questions.csv"], "stores": ["features"], "share": 0.3, "mpp": 0.5},
        "tokens": {"hidden": 16, "budget": 32, "dropout": 0.1, "system": "Answer."},
        "language": {"new": {"vocabulary": 300, **sizes}, "trains": "all"},
        "losses": {"contrast": 0.1, "consistency": 0.1, "queue": 16},
        "schedule": {"steps": 6, "rate": 0.01, "batch": 4, "micro": 2, "warmup": 2, "validate": 2, "save": 2},
    }
    if settled:
        del content["tokens"], content["language"]["new"]
    for dotted, value in changes.items():
        *groups, last = dotted.split("__")
        held: Any = content
        for group in groups:
            held = held.setdefault(group, {})
        held[last] = value
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    return file

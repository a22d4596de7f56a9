"""A whole study as the tests of the report need it, with hostile names, and its report."""

import hashlib
from pathlib import Path

import numpy as np
import records
from safetensors.numpy import save

from xray import report, study

HOSTILE = 'x"><script>alert(1)</script>|`*_[a](b)\n# $y$ & <img src=q onerror=alert(2)>'


def facts(validation: int, test: int) -> dict:
    """A data set's facts as data.py gives them, with hostile file names."""
    sizes = {"train": 200, "validation": validation, "test": test}
    labels = {part: records.labels(n) for part, n in sizes.items()}
    none = {
        "groups": 0,
        "images": 0,
        "surplus": 0,
        "within": {},
        "across": {},
        "conflicting": 0,
        "examples": [],
        "conflicting_examples": [],
    }
    overlap = {
        name: {"images": 9, "shared": 3, "patients": 2} for name in ("NORMAL", "PNEUMONIA", "all")
    }
    return {
        "name": "made-up",
        "source": HOSTILE,
        "kind": "folders",
        "fingerprint": records.DATA["fingerprint"],
        "phantom": False,
        "splits": sizes,
        "counts": {
            part: {"NORMAL": int(sum(y == 0)), "PNEUMONIA": int(sum(y == 1))}
            for part, y in labels.items()
        },
        "paths": [f"{part}/{HOSTILE}{n}.png" for part, size in sizes.items() for n in range(size)],
        "labels": "".join(str(label) for y in labels.values() for label in y),
        "sample": {"path": HOSTILE, "mode": "RGB", "width": 640, "height": 640, "label": 0},
        "sizes": {"640x640": sum(sizes.values())},
        "modes": {"RGB": sum(sizes.values())},
        "skipped": [],
        "audit": {
            "missing": 0,
            "unreadable": [],
            "reasons": [],
            "identical_bytes": none,
            "identical_pixels": none,
            "conflicting_labels": [],
        },
        "patients": {
            "named": 5,
            "unnamed": 7,
            "by_split": {},
            "overlap": {"test in train": overlap},
            "causes": {},
        },
    }


def whole(out: Path) -> Path:
    """A whole study in out/results with re-splits and weights, and its report in out; gives out."""
    data = records.DATA | {"source": HOSTILE}
    sizes = {"validation": 60, "test": 40}
    records.whole_study(out / "results", facts(**sizes), data=data, **sizes)
    given = next((out / "results").glob("*"))
    records.experiments(given)
    records.shortcuts(given, **sizes)
    records.beyond(out / "results", given, data=data, **sizes)
    for split in ("image-0", "image-1", "patient-0", "patient-1"):
        records.save(out / "results", records.run("20", 0, split=split, data=data, **sizes))
    random = np.random.default_rng(0)
    tensors = {
        "layer_stack.1.weight": random.normal(size=(10, 1024)).astype(np.float32),
        "layer_stack.1.bias": np.zeros(10, np.float32),
        "layer_stack.2.weight": random.normal(size=(1, 10)).astype(np.float32),
        "layer_stack.2.bias": np.zeros(1, np.float32),
    }
    content, name = save(tensors), "20-seed0-32px-matched.safetensors"
    weights = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    records.save(
        out / "results",
        records.run("20", 0, data=data, image_size=32, **sizes, weights=weights),
    )
    (given / "weights").mkdir(exist_ok=True)
    (given / "weights" / name).write_bytes(content)
    records.elsewhere(given, ("20", "21", "22b"), HOSTILE)
    found = study.read(out / "results", study.choose(out / "results")[0])
    report.write(found, out)
    return out

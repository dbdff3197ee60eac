"""A server that others wrote: ``transformers serve`` with a tiny text model, spoken to on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import torch

from napari_hwsi.chat import Answer, ask_stream, list_models
from napari_hwsi.errors import Cancelled, EndpointError
from napari_hwsi.hierarchy import Hierarchy
from napari_hwsi.model.language import new_language
from napari_hwsi.progress import Step

pytest.importorskip("fastapi", reason="transformers[serving] is not installed")
pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")
pytest.importorskip("openai", reason="transformers[serving] is not installed")

pytestmark = pytest.mark.slow
NAME = "hwsi/tiny"
VIEW = (1100, 800, 1500, 1400)


def keep_model(cache: Path) -> None:
    """Keep a model with fresh weights where the server looks for models: a cache of the hub."""
    torch.manual_seed(0)
    texts = ["There are many nuclei in this view; the densest place is at the top left."] * 3
    language, tokenizer = new_language(
        texts,
        400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    words = [tokenizer.decode(token).strip() for token in range(len(tokenizer))]
    language.generation_config.suppress_tokens = [
        token for token, word in enumerate(words) if not (word.isascii() and word.isalpha())
    ]
    repo = cache / "hub" / f"models--{NAME.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    for kept in (language, tokenizer):
        kept.save_pretrained(repo / "snapshots" / ("0" * 40))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    cache = tmp_path_factory.mktemp("huggingface")
    keep_model(cache)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from transformers.cli.transformers import main; main()"
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (cache / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", command, *arguments], env=environment, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 300
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, (cache / "log").read_text()
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


def connections(url: str) -> int:
    """Return how many connections to the server are open."""
    port = int(url.rsplit(":", 1)[1].partition("/")[0])
    return sum(each.raddr.port == port for each in psutil.Process().net_connections("tcp") if each.raddr)


def test_models_answer_and_cancel(url: str, result: Hierarchy) -> None:
    assert list_models(url) == (NAME,)
    name = f"endpoint:{url}#{NAME}"
    # Streamed: the words come piece by piece, and are those of the answer.
    *pieces, answer = ask_stream(result, "How many nuclei are in this view?", VIEW, name)
    said = [piece for piece in pieces if isinstance(piece, str)]
    assert isinstance(answer, Answer)
    assert len(said) > 10
    assert "".join(said).strip() == answer.text
    assert (answer.model, answer.where) == (NAME, "local")
    assert connections(url) == 0
    # Stopped in the middle: the socket is closed at once, and the server is free for the next.
    heard: list[str] = []

    def stop(step: Step) -> None:
        if len(heard) > 3:
            raise Cancelled("Stopped.")

    def listen() -> None:
        for piece in ask_stream(result, "How many nuclei are in this view?", VIEW, name, progress=stop):
            heard.append(str(piece))
            assert connections(url) == 1

    with pytest.raises(Cancelled):
        listen()
    assert connections(url) == 0
    stream = ask_stream(result, "And the next?", VIEW, name, [answer])
    assert isinstance(next(stream), str)
    stream.close()
    assert connections(url) == 0


def test_a_model_that_is_not_there(url: str, result: Hierarchy) -> None:
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1"):
        list(ask_stream(result, "What is this?", VIEW, f"endpoint:{url}#hwsi/missing"))

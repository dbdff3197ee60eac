"""A chat server that speaks OpenAI's protocol."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ..errors import EndpointError, EndpointRefused, InputError
from ..progress import Progress, tell
from .answer import Where
from .background import pull
from .keys import KEY_VARIABLE, key_of
from .wire import ReplyReader, error_message

_CONNECT_S = 10.0
_ERROR_BYTES = 65536
_REFUSALS = (400, 404, 415, 422)  # what was sent is not for this model
_ADVICE = {
    401: f" Set {KEY_VARIABLE} to a key of this server.",
    403: f" Set {KEY_VARIABLE} to a key that may use this model.",
    404: " Check the address and the name of the model.",
    413: " Ask about a smaller view.",
    429: " It is asked too often; wait a little.",
}


@dataclass(frozen=True)
class ChatServer:
    """An OpenAI-compatible server (vLLM, Ollama, llama.cpp, LM Studio, a hosted one).

    url: its address, with or without ``/v1``; silence_s: how long it may send nothing.
    Raises InputError for an address that is not plain http or https.
    """

    url: str
    silence_s: float = 300.0

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url.strip())
            good = url.scheme in ("http", "https") and url.host and (url.port or 0) < 65536
        except (httpx.InvalidURL, UnicodeError) as error:
            raise InputError(f"{self.url!r} is not an address: {error}.") from error
        if not good:
            raise InputError(
                f"{self.url!r} is not the address of a chat server; one looks like http://localhost:8000/v1."
            )
        if url.userinfo or url.query or url.fragment:
            raise InputError(
                f"The address of {url.host} carries more than a place. "
                f"Leave out names, passwords and queries; a key is read from {KEY_VARIABLE}."
            )
        path = url.path.rstrip("/").removesuffix("/chat/completions")
        if not any(part[:1] == "v" and part[1:2].isdigit() for part in path.split("/")):
            path += "/v1"
        object.__setattr__(self, "url", str(url.copy_with(path=path)))

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return httpx.URL(self.url).netloc.decode("ascii")

    @property
    def where(self) -> Where:
        """'local' for a loopback address, else 'remote'."""
        host = httpx.URL(self.url).host
        if host == "localhost":
            return "local"
        try:
            return "local" if ipaddress.ip_address(host).is_loopback else "remote"
        except ValueError:
            return "remote"

    def models(self) -> tuple[str, ...]:
        """Return the names of the models the server offers. Raises EndpointError."""
        try:
            with httpx.Client(**self._settings()) as client:
                response = client.get(f"{self.url}/models", timeout=_CONNECT_S)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code != 200:
            raise self._refused(response.status_code, response.content)
        try:
            return tuple(str(model["id"]) for model in response.json()["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise EndpointError(f"The server at {self.host} does not list its models at /models.") from error

    def stream(
        self,
        model: str,
        messages: Sequence[dict[str, Any]],
        reply: ReplyReader,
        progress: Progress | None = None,
        *,
        choices: int = 0,
    ) -> Iterator[str]:
        """Yield the text of the model's answer as it comes; ``reply`` keeps it, and why it ended.

        choices: how many likeliest tokens ``reply`` is to be told of at each place, where the server can.
        progress is called at least ten times a second; raising Cancelled from it, or closing the
        iterator, closes the socket. Raises EndpointError with the text received so far as ``partial``.
        """
        body = {"model": model, "messages": list(messages), "stream": True}
        if choices:
            body |= {"logprobs": True, "top_logprobs": choices}

        async def pieces() -> AsyncIterator[str]:
            async with (
                httpx.AsyncClient(**self._settings()) as client,
                client.stream("POST", f"{self.url}/chat/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    raise self._refused(response.status_code, await _start(response))
                async for data in response.aiter_bytes():
                    for piece in reply.feed(data):
                        yield piece
                    if reply.done:
                        break
            for piece in reply.close():
                yield piece

        try:
            yield from pull(pieces, lambda: tell(progress, 0, 1, "answer"))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TimeoutException as error:
            raise reply.broken_off(f"nothing came for {self.silence_s:g} s") from error
        except httpx.HTTPError as error:
            raise reply.broken_off(str(error) or "the connection was lost") from error

    def _settings(self) -> dict[str, Any]:
        key, source = key_of(self.host)
        if key and self.where == "remote" and not self.url.startswith("https:"):
            raise InputError(
                f"The key of {source} would go to {self.host} in the clear. Give its https:// address, "
                "or take the key away where the server needs none."
            )
        return {
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx.Timeout(self.silence_s, connect=_CONNECT_S),
            # A proxy of the environment would carry what is meant for this machine away from it.
            "trust_env": self.where == "remote",
        }

    def _unreachable(self, error: httpx.HTTPError) -> EndpointError:
        return EndpointError(
            f"No chat server answers at {self.host} ({error or type(error).__name__}). "
            "Start it, or check the address."
        )

    def _refused(self, status: int, content: bytes) -> EndpointError:
        try:
            reason = error_message(httpx.Response(200, content=content).json())
        except ValueError:
            reason = " ".join(content.decode("utf-8", "replace").split())[:300] or "it gives no reason."
        advice = _ADVICE.get(status, " Give the address it sends to." if 300 <= status < 400 else "")
        kind = EndpointRefused if status in _REFUSALS else EndpointError
        return kind(f"The server at {self.host} refused ({status}): {reason}{advice}")


def server_and_model(name: str, form: str) -> tuple[ChatServer, str]:
    """Read ``<kind>:<url>#<model>``, the kind left out or not. Raises InputError, naming the form.

    form: what is asked for, such as ``endpoint:<url>#<model>``.
    """
    kind = form.partition(":")[0]
    url, mark, model = name.removeprefix(f"{kind}:").partition("#")
    if not url or not mark or not model.strip():
        raise InputError(
            f"{name!r} does not name a server and a model. The form is {form}, "
            f"such as {form.replace('<url>', 'http://localhost:11434/v1').replace('<model>', 'qwen2.5vl')}; "
            "list_models(url) lists the models."
        )
    return ChatServer(url), model.strip()


async def _start(response: httpx.Response) -> bytes:
    """Return the first 64 KB of a body: enough for the words of an error."""
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) >= _ERROR_BYTES:
            break
    return body[:_ERROR_BYTES]

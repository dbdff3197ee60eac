"""What the documentation takes from elsewhere in the repository when it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the card of every weight that ships on the page of the cards."""
    if page.file.src_uri != "cards.md":
        return markdown
    package = _ROOT / "src" / "napari_hwsi"
    cards = sorted([*package.glob("*/weights/*.md"), *package.glob("*/shipped/*.md")])
    texts = [card.read_text(encoding="utf-8").replace("../../../../docs/", "") for card in cards]
    return "\n\n".join([markdown, *(text.replace("\n#", "\n##").replace("# ", "## ", 1) for text in texts)])

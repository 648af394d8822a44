"""The card of a shared network: what it is and how it came about, in Markdown."""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from huggingface_hub import ModelCardData

from agns.models.record import figures, recorded
from agns.writing import in_markdown

CARD = """\
---
{head}
---

# {title}

{what}

```python
from {module} import {kind}

{name} = {kind}.from_pretrained("{source}")
{use}
```

| | |
|---|---|
{rows}

## What it is for

Measuring how far eyeglasses can fool a face recogniser, with agns. {limits}
"""


class CardWords(TypedDict):
    """What a card says of one network."""

    title: str
    what: str
    """What it does, in a sentence."""

    use: str
    """A line of Python that calls it."""

    limits: str
    """Sentences on what it is for, and what not."""


def write_card(
    network: type,
    words: CardWords,
    rows: Mapping[str, str],
    record: Mapping[str, object],
    *,
    about: Mapping[str, Any],
    source: str,
) -> str:
    """Write a card.

    Args:
        network: The network's class, which the card imports.
        words: What the card says of it.
        rows: Its specification.
        record: How its weights came about.
        about: What the hub is told; a licence also stands in the table.
        source: Where it will be found, as owner/name.
    """
    licence = {"licence": str(about["license"])} if "license" in about else {}
    table = {**rows, **dict(recorded(record)), **licence}
    card = CARD.format(
        head=ModelCardData(**about).to_yaml(),
        module=network.__module__,
        kind=network.__name__,
        name=network.__name__.lower(),
        source=source,
        rows="\n".join(f"| {' | '.join(map(in_markdown, row))} |" for row in table.items()),
        **words,
    )
    scores = "\n".join(
        f"- {in_markdown(name)}: {in_markdown(value)}" for name, value in figures(record, "scores")
    )
    if scores:
        card += f"\n## Figures, on photos that training never saw\n\n{scores}\n"
    if (recipe := record.get("recipe")) is not None:
        card += f"\n## Recipe\n\n```json\n{json.dumps(recipe, indent=2)}\n```\n"
    return card

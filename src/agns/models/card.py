"""The card of a shared network: what it is and how it came about, in Markdown."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from huggingface_hub import ModelCardData

from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.models.sharing import Shareable
from agns.models.summary import figures, recorded, specified
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


def write_card(
    network: Shareable, *, repo_id: str | None = None, license: str | None = None
) -> str:
    """Describe a network from its specification and its record.

    Args:
        network: A recogniser, generator or discriminator.
        repo_id: Where it will be found, as owner/name.
        license: The weights' licence, as the hub abbreviates it.
    """
    # The hub leaves `to_dict` without types.
    as_dict: Callable[[], dict[str, Any]] = network._hub_mixin_info.model_card_data.to_dict
    about = as_dict()
    assert isinstance(network, Recognizer | Generator | Discriminator)
    rows = dict(specified(network)) | dict(recorded(network.record))
    if license is not None:
        about["license"] = rows["licence"] = license
    card = CARD.format(
        head=ModelCardData(**about).to_yaml(),
        module=type(network).__module__,
        kind=type(network).__name__,
        name=type(network).__name__.lower(),
        source=repo_id or "OWNER/NAME",
        rows="\n".join(f"| {' | '.join(map(in_markdown, row))} |" for row in rows.items()),
        **_words(network),
    )
    return "\n".join([card, *_sections(network.record)])


def _words(network: Shareable) -> dict[str, str]:
    if isinstance(network, Recognizer):
        count = len(network.identities)
        return {
            "title": f"{network.arch.upper()}, a face recogniser of {count} identities",
            "what": f"Tells {count} identities apart in photos of faces.",
            "use": "logits = recognizer(faces)  "
            f"# (batch, 3, 224, 224) in [0, 1] to (batch, {count})",
            "limits": "It takes every face for one of its identities, whosever it is, and is not "
            "fit to identify people.",
        }
    if isinstance(network, Generator):
        return {
            "title": "Eyeglass generator",
            "what": "Draws 64x176 eyeglass frames from latents.",
            "use": "frames = generator(latents)  "
            "# (batch, 25) in [-1, 1] to (batch, 3, 64, 176) in [0, 1]",
            "limits": "It is where an attack on a recogniser begins.",
        }
    assert isinstance(network, Discriminator)
    return {
        "title": "Eyeglass discriminator",
        "what": "Tells real 64x176 eyeglass frames from generated ones.",
        "use": "logits = discriminator(frames)  # (batch, 3, 64, 176) in [0, 1] to (batch,)",
        "limits": "It keeps an attack's eyeglasses looking real.",
    }


def _sections(record: Mapping[str, object]) -> Iterator[str]:
    scores = list(figures(record, "scores"))
    if scores:
        lines = "\n".join(f"- {in_markdown(name)}: {in_markdown(value)}" for name, value in scores)
        yield f"## Figures, on photos that training never saw\n\n{lines}\n"
    recipe = record.get("recipe")
    if recipe is not None:
        yield f"## Recipe\n\n```json\n{json.dumps(recipe, indent=2)}\n```\n"

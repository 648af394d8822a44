"""The card of a shared network: what it is and how it came about, in Markdown."""

import html
import json
from collections.abc import Iterator, Mapping

from huggingface_hub import ModelCardData

from agns.models.dcgan import Discriminator, Generator
from agns.models.families import FAMILIES
from agns.models.recognizer import Recognizer
from agns.models.sharing import Shareable
from agns.models.weights import count_parameters

NAMED = 24
"""Identities that a card names; `config.json` names all."""

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
    about = network._hub_mixin_info.model_card_data.to_dict()  # type: ignore[no-untyped-call]
    rows = dict(_specified(network)) | dict(recorded(network.record))
    if license is not None:
        about["license"] = rows["licence"] = license
    card = CARD.format(
        head=ModelCardData(**about).to_yaml(),
        module=type(network).__module__,
        kind=type(network).__name__,
        name=type(network).__name__.lower(),
        source=repo_id or "OWNER/NAME",
        rows="\n".join(f"| {_cell(left)} | {_cell(right)} |" for left, right in rows.items()),
        **_words(network),
    )
    return "\n".join([card, *_sections(network.record)])


def recorded(record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The record's short entries in words: all but the recipe and the scores."""
    for name, value in sorted(record.items()):
        words = name.replace("_", " ")
        if name in ("recipe", "scores"):
            continue
        if name == "training_photos" and isinstance(value, list):
            yield words, f"{len(value):,}, known by their digests"
        elif name == "imported" and isinstance(value, dict):
            yield words, f"from {value.get('source')}, {value.get('kind')}"
        elif isinstance(value, str | int | float):
            yield words, str(value).lower() if isinstance(value, bool) else str(value)


def figures(record: Mapping[str, object], name: str) -> Iterator[tuple[str, str]]:
    """What stands under `name` in the record, in words: the scores, or the recipe."""
    entries = record.get(name)
    for entry, value in entries.items() if isinstance(entries, dict) else ():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield str(entry).replace("_", " "), f"{value:.4g}" if number else json.dumps(value)


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


def _specified(network: Shareable) -> Iterator[tuple[str, str]]:
    if isinstance(network, Recognizer):
        contract, names = network.contract, network.identities
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        if contract == FAMILIES["of"].contract:
            forms = f"pooling {network.pooling}, convention {network.convention}"
            yield "network", f"OpenFace's nn4.small2, {forms}"
        else:
            yield "network", "VGG-16"
        yield "takes", "224x224 RGB faces in [0, 1]"
        yield (
            "brings them to",
            f"{contract.size}x{contract.size} in [{contract.low:g}, {contract.high:g}]"
            + ("" if network.average is None else ", less an average face"),
        )
        yield "identities", ", ".join(names[:NAMED]) + more
    assert isinstance(network, Recognizer | Generator | Discriminator)
    yield "parameters and moving statistics", f"{count_parameters(network):,}"


def _sections(record: Mapping[str, object]) -> Iterator[str]:
    scores = list(figures(record, "scores"))
    if scores:
        lines = "\n".join(f"- {_cell(name)}: {_cell(value)}" for name, value in scores)
        yield f"## Figures, on photos that training never saw\n\n{lines}\n"
    recipe = record.get("recipe")
    if recipe is not None:
        yield f"## Recipe\n\n```json\n{json.dumps(recipe, indent=2)}\n```\n"


def _cell(text: str) -> str:
    """Text that stays within one cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")

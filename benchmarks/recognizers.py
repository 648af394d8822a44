"""Put trained recognisers and embeddings side by side, from the files that their runs wrote.

.venv/bin/python benchmarks/recognizers.py RUN... --out results/recognizers.md
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from agns.storage import read_json
from agns.training.recipe import RecognizerTraining, recipe_for
from agns.training.triplets import MetricTraining
from agns.writing import write_text

HEAD = """\
# Trained recognisers

Each row is one run, written by `benchmarks/recognizers.py` from the run's own files. Recognisers
are tested on photos that were neither trained on nor used to choose weights, a fifth of each
identity's; "naive dodging" is the share of them that, wearing benign eyeglasses, are not
recognised. Embeddings are tested on pairs of photos of identities that they were not trained on.

"""
RECOGNIZERS = """\
| recogniser | accuracy | balanced | naive dodging | test photos | epochs | time | machine |
|---|---|---|---|---|---|---|---|
"""
EMBEDDINGS = """\
| embedding | accuracy on pairs | standard error | EER | AUC | pairs | time | machine |
|---|---|---|---|---|---|---|---|
"""
OPTIONS = {
    "epochs", "batch", "rate", "erased_share", "frames_per_photo", "patience", "seed",
    "identities", "photos", "margin", "validation_fraction",
}  # fmt: skip
"""Settings that have an option of the same name."""


def command_of(config: Mapping[str, Any]) -> str:
    """The command that begins such a run, for runs that do not tell how they were called."""
    if "margin" in config:
        words = ["agns train metric", f"--faces {config['source']}"]
        usual = {field.name: field.default for field in fields(MetricTraining)}
    else:
        words = [f"agns train recognizer --arch {config['arch']}", f"--faces {config['source']}"]
        recipe = recipe_for(config["arch"], anew=config["start"] is None, frozen=config["frozen"])
        usual = {field.name: getattr(recipe, field.name) for field in fields(RecognizerTraining)}
        usual |= {"identities": config["identities"]}
        if config["frozen"]:
            words.append("--freeze-backbone")
        if config["arch"] in ("of10", "vgg10"):
            words.append("--identities 10")
        if config["start"] is not None:
            words.append(f"--init {config['start']}")
        if tuple(config["sizes"]) != usual["sizes"]:
            words.append(f"--sizes {','.join(map(str, config['sizes'])) or 0}")
    for name in sorted(OPTIONS & usual.keys() & config.keys()):
        if config[name] != usual[name]:
            words.append(f"--{name.replace('_', '-')} {config[name]}")
    return " ".join([*words, "--out RUN"])


def machine_of(written: Mapping[str, Any]) -> str:
    machine = written.get("machine")
    if machine is None:
        return "not recorded"
    where = machine.get("gpu") or f"{machine.get('cores')} cores of {machine.get('processor')}"
    return f"{where}, {written['config']['precision']}"


def row_of(name: str, written: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    minutes = f"{scores['training_seconds'] / 60:.0f} min"
    if "eer" in scores:
        cells = [
            name, f"{scores['accuracy']:.1%}", f"{scores['standard_error']:.1%}",
            f"{scores['eer']:.1%}", f"{scores['auc']:.3f}", str(scores["pairs"]), minutes,
            machine_of(written),
        ]  # fmt: skip
    else:
        cells = [
            name, f"{scores['accuracy']:.1%}", f"{scores['balanced_accuracy']:.1%}",
            f"{scores['naive_dodging']:.1%}", str(scores["photos"]),
            f"{scores['epochs']:.0f} of {written['config']['epochs']}", minutes,
            machine_of(written),
        ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def tell(runs: Sequence[Path]) -> str:
    """The whole page."""
    rows: dict[str, str] = {RECOGNIZERS: "", EMBEDDINGS: ""}
    commands = ""
    for run in runs:
        written, scores = read_json(run / "config.json"), read_json(run / "scores.json")
        rows[EMBEDDINGS if "eer" in scores else RECOGNIZERS] += row_of(run.name, written, scores)
        config: Any = written["config"]
        versions: Any = written["versions"]
        called = written.get("command") or command_of(config)
        commands += (
            f"- `{run.name}`: `{called}`; seed {config['seed']}, torch {versions['torch']}\n"
        )
    tables = "\n".join(head + filled for head, filled in rows.items() if filled)
    return f"{HEAD}{tables}\n## Commands\n\n{commands}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    write_text(arguments.out, tell(arguments.runs))


if __name__ == "__main__":
    main()

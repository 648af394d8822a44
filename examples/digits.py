"""The attack on a digit classifier: generators of single digits learn to draw misread ones.

    python examples/digits.py --out DIR [--mnist DIR] [--seed N] [--digits 0,1,...]

After the experiment on MNIST of Sharif et al. 2019. `--mnist` names a folder with the four
original files; without it, scikit-learn's 8x8 digits are taken. A misread digit counts only
where two judges, which the attack never sees, both still read it as the digit it should be.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from agns.attack.agn import AGN
from agns.attack.drawings import tune_on_drawings
from agns.attack.goals import Dodge
from agns.errors import AgnsError, ConfigError
from agns.evaluation.metrics import wilson_interval
from agns.images import tile, write_image
from agns.models.dcgan import LATENT, MinibatchDiscrimination, sample_latents
from agns.models.initialization import draw_gan_weights, draw_weights
from agns.storage import versions, write_json
from digit_pictures import Digits, read_mnist, read_small_digits

ATTACK = AGN(
    kappa=0.9, joined_length="shorter", batch=32, min_fake_score=0, saturation_margin=0,
    precision="fp32", generator_rate=2e-4, discriminator_rate=5e-4,
)  # fmt: skip
PRETRAINING = replace(ATTACK, kappa=1, generator_rate=5e-4, discriminator_rate=3e-4)
JUDGES = ("network", "neighbours")


def train(layers: Sequence[nn.Module], data: Digits, seed: int) -> nn.Module:
    """A classifier trained on pictures with noise on them."""
    rng = torch.Generator().manual_seed(seed)
    network = draw_weights(nn.Sequential(*layers), rng=rng)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(600):
        chosen = torch.randint(len(data[0]), (64,), generator=rng)
        noise = 0.2 * torch.randn(64, *data[0].shape[1:], generator=rng)
        optimizer.zero_grad()
        functional.cross_entropy(network(data[0][chosen] + noise), data[1][chosen]).backward()
        optimizer.step()
    return network.requires_grad_(requires_grad=False)


def build_gan(side: int, rng: torch.Generator) -> tuple[nn.Module, ...]:
    """Untrained generator and discriminator of pictures of `side` pixels, a multiple of 4."""
    size = 2 * side**2
    generator = nn.Sequential(
        nn.Linear(LATENT, size), nn.BatchNorm1d(size), nn.ReLU(),
        nn.Unflatten(1, (32, side // 4, side // 4)),
        nn.ConvTranspose2d(32, 16, 5, 2, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 5, 2, 2, 1), nn.Sigmoid(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 16, 5, 2, 2), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 5, 2, 2), nn.LeakyReLU(0.2),
        nn.Flatten(), MinibatchDiscrimination(size, 16, 3), nn.Linear(size + 16, 1), nn.Flatten(0),
    )  # fmt: skip
    return tuple(draw_gan_weights(net, rng=rng) for net in (generator, discriminator))


def read_with(data: Digits, seed: int) -> list[Callable[[Tensor], Tensor]]:
    """The victim, and two judges of other kinds: a network, and the three nearest pictures."""
    (pictures, labels), inputs = data, data[0][0].numel()
    convolutions = nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()
    dense = nn.Flatten(), nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 10)

    def neighbours(drawn: Tensor) -> Tensor:
        near = torch.cdist(drawn.flatten(1), pictures.flatten(1)).topk(3, largest=False).indices
        return functional.one_hot(labels[near], 10).sum(1)

    victim = train([*convolutions, nn.Flatten(), nn.Linear(2 * inputs, 10)], data, seed)
    return [victim, train(dense, data, seed + 1), neighbours]


def tell(rows: Tensor) -> dict[str, list[float]]:
    """Shares of drawn digits with 95 % intervals; the pretrained discriminator's mean belief."""
    *shares, belief = rows.mean(0).tolist()
    named = zip(("misread", *JUDGES, "counts"), shares, strict=True)
    told = {name: [share, *wilson_interval(share * len(rows), len(rows))] for name, share in named}
    return {**told, "belief": [belief]}


def run(given: argparse.Namespace) -> None:
    """The experiment, its figures, and a sheet of ten digits of each generator before and after."""
    random = torch.Generator().manual_seed(given.seed)
    data, test = read_mnist(given.mnist) if given.mnist else read_small_digits(rng=random)
    given.out.mkdir(parents=True, exist_ok=True)
    readers = victim, *_ = read_with(data, given.seed)
    right = [float((read(test[0]).argmax(1) == test[1]).float().mean()) for read in readers]
    sheet, rows = [], {"before": {}, "after": {}}
    for digit in sorted({int(name) for name in given.digits.split(",")}):
        random = torch.Generator().manual_seed(10 * given.seed + digit)
        goal, real = Dodge(subject=digit), data[0][data[1] == digit]
        networks = build_gan(real.shape[2], random)
        latents = sample_latents(given.drawn, rng=random)
        phases = (PRETRAINING, given.pretraining), (ATTACK, given.steps)
        for when, (config, steps) in zip(rows, phases, strict=True):
            tune_on_drawings(*networks, victim, real, goal, config, steps=steps, rng=random)
            judge = judge if when == "after" else copy.deepcopy(networks[1])
            with torch.no_grad():
                drawn = networks[0].eval()(latents)
                belief = torch.cat([judge(some).sigmoid() for some in drawn.split(config.batch)])
            read, *judged = (reader(drawn).argmax(1) == digit for reader in readers)
            counts = ~read & judged[0] & judged[1]
            rows[when][str(digit)] = torch.stack([~read, *judged, counts, belief], 1).double()
            sheet.append(drawn[:10])
    for kept in rows.values():
        kept["all"] = torch.cat(list(kept.values()))
    told = {when: {name: tell(some) for name, some in kept.items()} for when, kept in rows.items()}
    about = {"attack": ATTACK, "options": vars(given), "versions": versions()}
    accuracy = dict(zip(("victim", *JUDGES), right, strict=True))
    write_json(given.out / "result.json", {"accuracy": accuracy, **told, **about})
    large = functional.interpolate(torch.cat(sheet).expand(-1, 3, -1, -1), scale_factor=3)
    write_image(given.out / "before_and_after.png", tile(large, columns=20))
    sys.stdout.writelines(f"{when}: {told[when]['all']}\n" for when in told)


def main(words: Sequence[str] | None = None) -> int:
    """Run by the words of a command line; the exit code is 0, 1 for failure, 2 for misuse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--digits", default="0,1,2,3,4,5,6,7,8,9")
    for name, usual in {"seed": 0, "drawn": 1000, "pretraining": 600, "steps": 100}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args(words)
    try:
        if not set(given.digits.split(",")) <= set("0123456789"):
            raise ConfigError(f"--digits should be digits with commas between, got {given.digits}")
        if min(given.drawn, given.pretraining, given.steps, given.seed + 1) < 1:
            raise ConfigError("--drawn, --pretraining and --steps start at 1, --seed at 0")
        run(given)
    except (AgnsError, OSError) as error:
        sys.stderr.write(f"digits: {error}\n")
        return error.exit_code if isinstance(error, AgnsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

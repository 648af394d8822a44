"""Images per second of the steps that take the time, as ratios within one run.

Each step is also given as the share that its multiplications reach of the machine's matrix-product
rate in the step's own precision: a figure that carries from machine to machine better than seconds
do.

    .venv/bin/python benchmarks/speed.py --out results/speed.json
    .venv/bin/python benchmarks/speed.py --device cuda
"""

import argparse
import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from agns.accessory.frame import place, silhouette
from agns.accessory.placement import FIXED
from agns.accessory.wear import wear
from agns.attack.agn import AGN
from agns.attack.attack import natural_set_at
from agns.attack.goals import Dodge
from agns.attack.gradients import join_gradients, keep_in_range
from agns.attack.search import search_frames
from agns.attack.steps import train_discriminator
from agns.models.cross_channel import CrossChannelNorm
from agns.models.dcgan import Discriminator, Generator, build_gan, sample_latents
from agns.models.layout import device_of, lay_channels_last
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.victim import freeze
from agns.storage import versions, write_json
from agns.training.precision import choose_device, set_up_process

ITERATIONS = 10


@dataclass(frozen=True)
class Row:
    step: str
    variant: str
    images_per_second: float
    times_naive: float
    share_of_matrix_rate: float | None


def fastest(step: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest of the runs that fit into `seconds`, after one to warm up."""
    step()
    finish()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        started = time.perf_counter()
        step()
        finish()
        times.append(time.perf_counter() - started)
    return min(times)


def finish() -> None:
    """Wait for what a GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matrix_rate(seconds: float, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a square matrix product, larger on a GPU."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = torch.rand(2, side, side).to(device, dtype)
    return 2 * side**3 / fastest(lambda: a @ b, seconds)


def operations(step: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def naive(recognizer: Recognizer) -> Recognizer:
    """The recogniser as it comes: batch norm apart, torch's own cross-channel norm."""
    plain = copy.deepcopy(recognizer).eval().requires_grad_(False)
    for parent in plain.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, CrossChannelNorm):
                own = nn.LocalResponseNorm(child.size, child.alpha, child.beta)
                setattr(parent, name, own)
    return plain


def autocast(network: nn.Module, half: bool) -> contextlib.AbstractContextManager[object]:
    kind = device_of(network).type
    return torch.autocast(kind, torch.bfloat16) if half else contextlib.nullcontext()


def attack_gradient(victim: Recognizer, batch: int, half: bool) -> Callable[[], object]:
    """The part of an attack step that the recogniser takes: from frames to the joined gradient.

    Generator and discriminator come on top; their step is timed by itself.
    """
    faces = torch.rand(batch, 3, 224, 224)
    frames = torch.rand(batch, 3, 64, 176)
    mask, goal, config = silhouette(), Dodge(subject=0), AGN()
    natural = natural_set_at(None)

    def step() -> object:
        leaf = frames.clone().requires_grad_()
        drawn = natural.project(leaf, off_plane=config.off_plane)
        with autocast(victim, half):
            logits = victim(wear(faces, place(drawn), mask))
        (gradient,) = torch.autograd.grad(goal.loss(logits, "logits").sum(), leaf)
        joined = join_gradients(gradient, gradient, config.kappa, config.joined_length)
        return keep_in_range(joined, frames, config.saturation_margin)

    return step


def gan(device: torch.device) -> tuple[Generator, Discriminator]:
    """Untrained networks of eyeglasses."""
    generator, discriminator = build_gan(rng=torch.Generator().manual_seed(0))
    return generator.to(device), discriminator.to(device)


def gan_step(
    device: torch.device, batch: int, half: bool, channels_last: bool
) -> Callable[[], object]:
    rng = torch.Generator().manual_seed(0)
    generator, discriminator = gan(device)
    if channels_last:
        lay_channels_last(generator), lay_channels_last(discriminator)
    optimizers = [torch.optim.Adam(n.parameters(), 2e-4) for n in (generator, discriminator)]
    real = torch.rand(batch, 3, 64, 176)

    def step() -> None:
        with autocast(generator, half):
            drawn = generator(sample_latents(batch, rng=rng)).float()
            verdicts = discriminator(real).float(), discriminator(drawn.detach()).float()
        loss = functional.softplus(-verdicts[0]).mean() + functional.softplus(verdicts[1]).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        with autocast(generator, half):
            fooled = discriminator(drawn).float()
        optimizers[0].zero_grad()
        functional.softplus(-fooled).mean().backward()
        optimizers[0].step()

    return step


def check(victim: Recognizer, half: bool) -> Callable[[], object]:
    """A look that no frame leaves early: the longest there is."""
    generator, _ = gan(device_of(victim))
    generator.eval()
    faces, goal = torch.rand(16, 3, 224, 224), Dodge(subject=0, stop=0.9999)

    def step() -> object:
        rng = torch.Generator().manual_seed(1)
        with autocast(victim, half):
            return search_frames(generator, victim, faces, goal, count=32, placement=FIXED, rng=rng)

    return step


def iterations(victim: Recognizer, precision: str) -> Callable[[], object]:
    """Ten steps of a whole attack, with its first look and the one after them; none is met."""
    generator, discriminator = gan(device_of(victim))
    # Untrained, with statistics, so that frames vary.
    with torch.no_grad():
        drawn = generator.train()(sample_latents(64, rng=torch.Generator().manual_seed(1)))
        discriminator.train()(drawn)
    faces, goal = torch.rand(16, 3, 224, 224), Dodge(subject=0, stop=1e-9)
    glasses = torch.randint(0, 256, (ITERATIONS * 16, 3, 64, 176), dtype=torch.uint8)
    config = AGN(precision=precision, check_every=ITERATIONS)

    def step() -> None:
        config.run(
            victim, faces, goal, frames=glasses, nets=(generator.eval(), discriminator.eval())
        )

    return step


def draw(device: torch.device, half: bool) -> Callable[[], object]:
    """What a look draws."""
    generator, _ = gan(device)
    generator.eval()
    latents = sample_latents(32, rng=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def step() -> object:
        with autocast(generator, half):
            return generator(latents)

    return step


def judge(device: torch.device, half: bool) -> Callable[[], object]:
    """The discriminator's part of an attack step in which it learns: it, and the verdicts."""
    _, discriminator = gan(device)
    lay_channels_last(discriminator).eval()
    config = AGN(min_fake_score=0, precision="bf16" if half else "fp32")
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-5, fused=True)
    real, drawn = torch.rand(2, 16, 3, 64, 176)
    leaf = drawn.requires_grad_()

    def step() -> None:
        train_discriminator(
            discriminator, optimizer, real, leaf,
            min_fake_score=config.min_fake_score, precision=config.precision,
        )  # fmt: skip
        with autocast(discriminator, half):
            verdicts = discriminator(leaf).float()
        torch.autograd.grad(-functional.logsigmoid(verdicts).sum(), leaf)

    return step


Step: TypeAlias = tuple[str, str, int, Callable[[], Callable[[], object]]]
"""What is timed, in which variant, how many images it takes, and how it is made ready."""


def same(recognizer: Recognizer) -> Recognizer:
    return recognizer


def on(
    victim: Callable[[], Recognizer], make: Callable[..., Callable[[], object]], *given: object
) -> Callable[[], object]:
    """A step on a recogniser that is made ready only when the step is."""
    return make(victim(), *given)


def steps_of(device: torch.device, *, big: bool) -> list[Step]:
    rng = torch.Generator().manual_seed(0)
    steps: list[Step] = []
    for variant, half, last in (
        ("naive fp32", False, False),
        ("channels-last fp32", False, True),
        ("channels-last bf16", True, True),
    ):
        steps.append(("DCGAN step, batch 32", variant, 32,
                      partial(gan_step, device, 32, half, last)))  # fmt: skip
    sizes = [("of10", 10, 16), ("vgg143", 143, 4)] if big else [("of10", 10, 16)]
    for arch, classes, batch in sizes:
        names = tuple(f"identity {index}" for index in range(classes))
        recognizer = build_recognizer(arch, names, rng=rng).eval().to(device)
        frozen, plain = freeze(recognizer), partial(naive, recognizer)
        three = (
            ("naive fp32", plain, False),
            ("frozen fp32", partial(same, frozen), False),
            ("frozen bf16", partial(same, frozen), True),
        )
        for variant, victim, half in three:
            title = f"attack gradient, {arch}, batch {batch}"
            steps.append((title, variant, batch, partial(on, victim, attack_gradient, batch, half)))
        if arch != "of10":
            continue
        for variant, victim, half in three:
            title = "success check, of10, 32 frames x 16 photos"
            steps.append((title, variant, 512, partial(on, victim, check, half)))
        for variant, half in (("fp32", False), ("bf16", True)):
            title = "generator's forward pass, batch 32"
            steps.append((title, variant, 32, partial(draw, device, half)))
        for variant, half in (("fp32", False), ("bf16", True)):
            title = "discriminator's part of an iteration, batch 16"
            steps.append((title, variant, 16, partial(judge, device, half)))
        for precision in ("fp32", "bf16"):
            title = f"AGN iterations, of10, {ITERATIONS} with two looks"
            steps.append((title, precision, ITERATIONS, partial(iterations, frozen, precision)))
    return steps


def measure(
    seconds: float, *, big: bool, device: torch.device, only: str = ""
) -> tuple[dict[str, float], list[Row]]:
    set_up_process()
    rates = {
        "fp32": matrix_rate(seconds, torch.float32, device),
        "bf16": matrix_rate(seconds, torch.bfloat16, device),
    }
    rows: list[Row] = []
    base: dict[str, float] = {}
    for title, variant, images, made in steps_of(device, big=big):
        if only not in title:
            continue
        step = made()
        took = fastest(step, seconds)
        speed = images / took
        base.setdefault(title, speed)
        # PyTorch's counter refuses gradients at what a network is given itself.
        counted = not title.startswith(("AGN", "discriminator's"))
        share = round(operations(step) / took / rates[variant[-4:]], 3) if counted else None
        rows.append(Row(title, variant, round(speed, 1), round(speed / base[title], 2), share))
        print(f"{title:45s} {variant:20s} {speed:8.1f}/s  {speed / base[title]:5.2f}x  {share}")
    return rates, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seconds", type=float, default=4, help="time for each step")
    parser.add_argument("--small", action="store_true", help="leave VGG143 out")
    parser.add_argument("--device", default="cpu", help="where the networks run")
    parser.add_argument("--only", default="", help="steps with this in their title")
    given = parser.parse_args()
    device = choose_device(given.device)
    rates, rows = measure(given.seconds, big=not given.small, device=device, only=given.only)
    gflops = {precision: round(rate / 1e9, 1) for precision, rate in rates.items()}
    print(f"matrix product, GFLOP/s: {gflops}, {torch.get_num_threads()} threads")
    if given.out is not None:
        content = {
            "device": str(device),
            "matrix_gflops": gflops,
            "threads": torch.get_num_threads(),
            "rows": [asdict(row) for row in rows],
            "versions": versions(),
        }
        write_json(given.out, content)


if __name__ == "__main__":
    main()

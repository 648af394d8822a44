"""Training the eyeglass generator against its discriminator: one visible loop."""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image as PilImage
from torch import Tensor, nn
from torch.nn import functional

from agns.decoding import read_pixels
from agns.errors import ConfigError, DataError, WeightsError
from agns.images import from_pixels, tile, write_image
from agns.models.dcgan import Discriminator, Generator, build_gan, sample_latents
from agns.models.layout import lay_channels_last
from agns.run_directory import RunDirectory
from agns.settings import Batch, Count, Range, Rate, Seed, Weight, check_settings
from agns.training.precision import Precision, autocast, resolve_precision
from agns.training.resume_state import pack, unpack
from agns.training.run import frames_as_begun, record_frames
from agns.training.trainer import move_average
from agns.types import Frames, Pixels, Progress, silent
from agns.writing import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class GanTraining:
    """How the generator and the discriminator are trained."""

    epochs: Count = 14
    """Passes over the eyeglasses."""

    batch: Batch = 32
    """Real frames in a step, and as many generated ones.

    Mini-batch discrimination sums over a batch, so that this is also the batch in which the
    discriminator judges well later."""

    generator_rate: Rate = 2e-4
    """Adam's learning rate for the generator."""

    discriminator_rate: Rate = 2e-4
    """Adam's learning rate for the discriminator."""

    smoothing: Annotated[float, Range("(0.5, 1]")] = 0.9
    """What the discriminator is told of real frames; generated ones are 0 (one-sided)."""

    noise: Weight = 0.1
    """Deviation of the noise on all that the discriminator sees at first; falls to 0 at the end.

    Without it the discriminator tells the two apart by a single pixel, and the generator learns
    nothing more (Arjovsky & Bottou 2017, section 3)."""

    lead: Annotated[float, Range("[0, 0.5)")] = 0.2
    """The discriminator sits a step out when its mean belief in the generated frames is below
    this: a discriminator that has run away teaches nothing."""

    averaging: Annotated[float, Range("[0, 1)")] = 0.998
    """Decay per step of the moving average of the generator's weights, which is what is kept."""

    precision: Precision = "auto"
    """Of the networks' steps. auto takes bf16 where the processor is quicker in it.

    The field holds what auto comes to on this machine."""

    seed: Seed = 0
    """Seed of the weights and every draw."""

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "precision", resolve_precision(self.precision))


def train_gan(
    glasses: Pixels,
    config: GanTraining,
    out: Path,
    *,
    resume: bool = False,
    source: str = "",
    progress: Progress = silent,
) -> tuple[Generator, Discriminator]:
    """Train both networks on eyeglasses, and write the run.

    Args:
        glasses: 64x176 frames as bytes.
        config: The recipe.
        out: Run directory: configuration, figures, sample sheets and their GIF, checkpoint,
            `generator.safetensors` and `discriminator.safetensors`.
        resume: Go on from the checkpoint in `out`, to the figures of an unbroken run; the frames
            are known by content, under any names.
        source: Where the frames came from, for the record.
        progress: Told of every step; a `KeyboardInterrupt` that it raises leaves a checkpoint.

    Returns:
        The generator with averaged weights, and the discriminator, in evaluation mode.

    Raises:
        ConfigError: There are fewer frames than a batch, or the directory holds another run.
        DataError: A loss is no longer finite.
        WeightsError: The checkpoint is damaged, or of another network.
    """
    if len(glasses) < config.batch:
        raise ConfigError(f"a batch of {config.batch} needs as many frames, got {len(glasses)}")
    rng = torch.Generator().manual_seed(config.seed)
    generator, discriminator = build_gan(rng=rng)
    if resume:
        glasses = frames_as_begun(out, glasses)
    else:
        record_frames(out, glasses)
    origin = {"source": source, "frames": len(glasses)}
    run = RunDirectory(out, asdict(config), resume=resume, origin=origin)
    fixed = sample_latents(40, rng=rng)
    averaged = copy.deepcopy(generator).eval()
    for network in (generator, discriminator):
        lay_channels_last(network).train()
    optimizers = {
        name: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999), fused=True)
        for name, network, rate in (
            ("generator", generator, config.generator_rate),
            ("discriminator", discriminator, config.discriminator_rate),
        )
    }
    parts: dict[str, nn.Module | torch.optim.Optimizer] = {
        "generator": generator, "discriminator": discriminator, "averaged": averaged,
        **{f"{name}_optimizer": optimizer for name, optimizer in optimizers.items()},
    }  # fmt: skip
    steps = len(glasses) // config.batch
    total = steps * config.epochs
    names = ("discriminator", "generator", "real", "generated", "learned")
    begin, step, seconds = 0, 0, 0.0
    order: Tensor | None = None
    sums = dict.fromkeys(names, 0.0)
    saved = run.load_checkpoint() if resume else None
    if saved is not None:
        tensors, counters = saved
        path = out / "checkpoint.safetensors"
        unpack(parts, tensors, path)
        try:
            rng.set_state(tensors["random"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise WeightsError(f"{path} holds no state of the draws: {error}") from error
        begin, step, seconds = int(counters["epoch"]), int(counters["step"]), counters["seconds"]
        # Of an epoch that was interrupted.
        order = tensors.get("order")
        sums = {name: counters.get(f"sum_{name}", 0.0) for name in names}

    def keep(epoch: int, seconds: float, amid: Mapping[str, Tensor]) -> None:
        run.save_checkpoint(
            {**pack(parts), "random": rng.get_state(), **amid},
            {
                "epoch": epoch, "step": step, "seconds": seconds,
                **{f"sum_{name}": value for name, value in sums.items()},
            },
        )  # fmt: skip

    for epoch in range(begin, config.epochs):
        started, before = time.perf_counter(), step
        if order is None:
            order = torch.randperm(len(glasses), generator=rng)[: steps * config.batch]
        for chosen in order.split(config.batch)[step - epoch * steps :]:
            noise = config.noise * (1 - step / total)
            real = from_pixels(glasses[chosen])
            latents = sample_latents(config.batch, rng=rng)
            with autocast(config.precision):
                drawn = generator(latents)
                on_real = discriminator(_noisy(real, noise, rng)).float()
                on_drawn = discriminator(_noisy(drawn.detach(), noise, rng)).float()
            told = torch.full_like(on_real, config.smoothing)
            discriminator_loss = functional.binary_cross_entropy_with_logits(
                on_real, told
            ) + functional.binary_cross_entropy_with_logits(on_drawn, torch.zeros_like(on_drawn))
            belief = float(on_drawn.detach().sigmoid().mean())
            if belief >= config.lead:
                optimizers["discriminator"].zero_grad()
                discriminator_loss.backward()
                optimizers["discriminator"].step()

            discriminator.requires_grad_(requires_grad=False)
            with autocast(config.precision):
                verdicts = discriminator(_noisy(drawn, noise, rng)).float()
            generator_loss = functional.softplus(-verdicts).mean()
            optimizers["generator"].zero_grad()
            generator_loss.backward()
            optimizers["generator"].step()
            discriminator.requires_grad_(requires_grad=True)
            step += 1
            move_average(averaged, generator, min(config.averaging, step / (step + 10)))

            figures = {
                "discriminator": float(discriminator_loss.detach()),
                "generator": float(generator_loss.detach()),
                "real": float(on_real.detach().sigmoid().mean()),
                "generated": belief,
                "learned": float(belief >= config.lead),
            }
            if not math.isfinite(figures["discriminator"] + figures["generator"]):
                raise DataError(f"a loss is no longer finite in epoch {epoch + 1}: lower the rates")
            for name, value in figures.items():
                sums[name] += value / steps
            elapsed = time.perf_counter() - started
            speed = (step - before) * config.batch / elapsed
            try:
                progress(step, total, {**figures, "images/s": speed})
            except KeyboardInterrupt:
                keep(epoch, seconds + elapsed, {"order": order})
                raise
        seconds += time.perf_counter() - started
        run.log({"epoch": epoch + 1, **sums})
        draw_sheet(averaged, fixed, out / "samples" / f"epoch_{epoch + 1:03d}.png")
        order, sums = None, dict.fromkeys(names, 0.0)
        keep(epoch + 1, seconds, {})

    settle_statistics(averaged, discriminator, glasses, batch=config.batch, rng=rng)
    draw_sheet(averaged, fixed, out / "samples.png")
    animate(out / "samples", out / "samples.gif")
    about = {"recipe": asdict(config), "source": source, "seconds": round(seconds, 1)}
    averaged.record = discriminator.record = about
    averaged.write(out / "generator.safetensors")
    discriminator.write(out / "discriminator.safetensors")
    return averaged, discriminator.eval()


def _noisy(frames: Frames, deviation: float, rng: torch.Generator) -> Tensor:
    if deviation == 0:
        return frames
    return frames + deviation * torch.randn(frames.shape, generator=rng)


@torch.no_grad()
def settle_statistics(
    generator: Generator,
    discriminator: Discriminator,
    glasses: Pixels,
    *,
    batch: int,
    rng: torch.Generator,
    rounds: int = 100,
) -> None:
    """Measure both networks' batch statistics anew, now that the weights are final.

    Moving statistics lag behind averaged weights, and the discriminator's are those of whatever
    it judged last. Afterwards they are means over `rounds` batches, for the discriminator half
    of them real and half generated, and both networks are in evaluation mode.
    """
    networks = (generator, discriminator)
    norms = [
        layer
        for network in networks
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    for network in networks:
        network.train()
    for _ in range(rounds):
        chosen = torch.randint(len(glasses), (batch,), generator=rng)
        discriminator(from_pixels(glasses[chosen]))
        discriminator(generator(sample_latents(batch, rng=rng)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for network in networks:
        network.eval()


@torch.no_grad()
def draw_sheet(generator: Generator, latents: Tensor, path: Path) -> None:
    """Write a sheet of what a generator in evaluation mode makes of latents."""
    write_image(path, tile(generator(latents), columns=5))


def animate(sheets: Path, path: Path) -> None:
    """Join the sheets of a folder, in the order of their names, to one GIF."""
    pictures = [PilImage.fromarray(read_pixels(sheet)) for sheet in sorted(sheets.glob("*.png"))]
    with replacing(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=250, loop=0
        )

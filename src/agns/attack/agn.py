"""The adversarial generative net: fine-tune a generator until its glasses fool a recogniser.

Read beside algorithm 1 of Sharif et al. 2019 (section 4.3).
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, TypeVar

import torch
from torch import nn
from torch.nn import functional

from agns.accessory.placement import Placement
from agns.accessory.printability import check_palette, palette_at
from agns.attack.attack import (
    FrameAttack,
    Nets,
    frames_of,
    natural_set_at,
    shipped_nets,
)
from agns.attack.goals import Goal, Objective
from agns.attack.gradients import Length, add_nps_gradient, keep_in_range
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.attack.search import Candidates, draw_photos, search_frames, typicality
from agns.attack.steps import join_objectives, train_discriminator
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.layout import device_of, lay_channels_last
from agns.models.victim import Victim
from agns.settings import Count, Range, Share, Weight, check_settings
from agns.training.precision import autocast, resolve_precision
from agns.types import Faces, Frames, Latents, Progress

_Network = TypeVar("_Network", Generator, Discriminator)


@dataclass(frozen=True, slots=True, kw_only=True)
class AGN(FrameAttack):
    """The adversarial generative net of Sharif et al. 2019 (algorithm 1), and what agns adds."""

    kappa: Share = 0.25
    """Weight of looking real against fooling the recogniser."""

    objective: Objective = "probabilities"
    """What the recogniser's gradient lowers or raises; see `agns.attack.goals.Objective`."""

    joined_length: Length = "real"
    """How long the two gradients are when joined; see `agns.attack.gradients.Length`."""

    nps_weight: Weight = 0.0
    """Weight of non-printability (Sharif et al. 2016) against the joined gradient; 0 leaves it
    out, as in the paper."""

    palette: str | None = None
    """File of the colours that the printer reproduces, with an `nps_weight`; None for
    `agns.accessory.printability.assumed_palette`."""

    natural: bool = True
    """Whether frames are brought into the natural set as they are drawn, in the steps and in the
    samples; not so in the paper. Without it they turn into noise."""

    off_plane: Share = 0.25
    """How far they may lie off the plane of the set's directions, against its bound; half of the
    real frames lie nearer."""

    natural_set: str | None = None
    """File of the natural set; None for the one that comes with agns."""

    saturation_margin: Annotated[float, Range("[0, 0.5)")] = 0.05
    """How near to 0 or 1 a frame's values are pushed back, at half the gradient; 0 for never, as in
    the paper. At the ends the generator's tanh leaves next to nothing to learn from."""

    generator_rate: Weight = 2e-3
    """Adam's learning rate for the generator; the paper's is 5e-5."""

    discriminator_rate: Weight = 2e-5
    """Adam's learning rate for the discriminator."""

    weight_decay: Weight = 1e-5
    """L2 weight decay of both."""

    batch: Annotated[int, Range("[2, inf)")] = 16
    """Generated frames in a step, each on one craft photo, and as many real ones."""

    min_fake_score: Share = 0.2
    """The discriminator sits a step out when its mean score of the generated frames is below
    this: one that has run away pulls towards nothing that looks like eyeglasses. 0
    lets it learn at each step, as in the paper; 1 never."""

    jitter: Annotated[float, Range("[0, 10)")] = 0.0
    """By how many pixels (standard deviation) the steps move the frame's corners at random: marks
    are found, and frames worn, not quite where they should be."""

    brightness: Annotated[float, Range("[0, 1)")] = 0.0
    """By what share at most the steps make a photo and the frame on it brighter or darker."""

    precision: str = "auto"
    """Of the steps' networks; see `agns.training.precision.Precision`. Holds what "auto" comes to
    on this machine. Sampled frames are sorted out in it, and those that stay confirmed in fp32."""

    check_every: Count = 10
    """Steps between two samples, which tell whether a frame is good enough."""

    samples: Count = 32
    """Frames in a sample."""

    epochs: Count = 1
    """Passes over the real eyeglasses after which the attack gives up."""

    @classmethod
    def paper(cls) -> "AGN":
        """Algorithm 1 with the paper's settings, and without the steps that agns adds to it.

        What the paper leaves open (the discriminator's labels and rate, how often frames are
        sampled) stays as by default. So does what is no setting here: both networks learn in each
        step, on the same frames; photos are shared out among the frames; a sample is tried before
        the first step; and of frames that reach the stop value the most typical one is taken.
        """
        return cls(
            joined_length="shorter",
            natural=False,
            saturation_margin=0,
            generator_rate=5e-5,
            min_fake_score=0,
            precision="fp32",
        )

    def __post_init__(self) -> None:
        check_settings(self)
        check_palette(self.palette, self.nps_weight)
        if self.natural_set is not None and not self.natural:
            raise ConfigError("a natural set serves only where frames are brought into it: natural")
        object.__setattr__(self, "precision", resolve_precision(self.precision))

    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        rng: torch.Generator,
        progress: Progress,
    ) -> AttackResult:
        """As `FrameAttack.find`: algorithm 1, until a sampled frame reaches the stop value.

        The networks are copied. They may be on a GPU; all else stays on the CPU.
        """
        glasses = frames_of(frames)
        steps = self.epochs * (len(glasses) // self.batch)
        if steps == 0:
            raise AttackError(
                f"a batch of {self.batch} needs as many real frames, got {len(glasses)}"
            )
        palette = palette_at(self.palette)
        held = self._held()
        placement = replace(placement, jitter=self.jitter, brightness=self.brightness)
        started = time.perf_counter()
        generator, discriminator = shipped_nets() if nets is None else nets
        rank = typicality(generator, discriminator, glasses, self.batch, rng)
        generator, discriminator = self._tunable(generator), self._tunable(discriminator)
        device = device_of(generator).type
        generator_optimizer = self._adam(generator, self.generator_rate)
        discriminator_optimizer = self._adam(discriminator, self.discriminator_rate)
        # Per photo, the failure probability of late: samples are tried on those that resist first.
        resistance = torch.ones(len(faces))

        def sample(beat: float) -> Candidates | None:
            return search_frames(
                lambda latents: held(generator(latents)), victim, faces, goal,
                count=self.samples, placement=placement, rng=rng, rank=rank, beat=beat,
                order=resistance.argsort(descending=True, stable=True), precision=self.precision,
            )  # fmt: skip

        try:
            best = sample(math.inf)
        except FloatingPointError as error:
            raise AttackError(f"the attack cannot begin: {error}") from error
        assert best is not None
        best_weights = copy.deepcopy(generator.state_dict())
        history: list[dict[str, float]] = []
        reason: Reason = "reached the stop value" if best.met else "used up the eyeglasses"
        order = torch.cat([torch.randperm(len(glasses), generator=rng) for _ in range(self.epochs)])
        step = 0
        try:
            while not best.met and step < steps:
                with autocast(self.precision, device):
                    raw = generator(sample_latents(self.batch, rng=rng))
                drawn = held(raw)
                if not drawn.isfinite().all():
                    raise FloatingPointError("the generator's frames are not finite")
                real = from_pixels(glasses[order[step * self.batch : (step + 1) * self.batch]])

                # The discriminator first.
                leaf = drawn.detach().requires_grad_()
                trained = train_discriminator(
                    discriminator, discriminator_optimizer, real, leaf,
                    min_fake_score=self.min_fake_score, precision=self.precision,
                )  # fmt: skip

                # Then the generator: two gradients at its output, joined sample by sample.
                fake_logits = trained.fake_logits
                if fake_logits is None:
                    with autocast(self.precision, device):
                        fake_logits = discriminator(leaf).float()
                photos = draw_photos(len(faces), self.batch, rng)
                worn = placement.wear(faces, leaf, photos, rng=rng)
                own = goal.on(photos)
                loss = partial(own.loss, objective=self.objective)
                logits, at_faces = query_gradient(victim, worn, loss, precision=self.precision)
                failure = own.failure_probability(logits)
                # A photo may be drawn twice in a batch: its mean counts.
                lately = resistance.scatter_reduce(0, photos, failure, "mean", include_self=False)
                resistance = (resistance + lately).clamp_min(1e-6) / 2
                losses = {
                    "discriminator": float(functional.logsigmoid(fake_logits.detach()).mean()),
                    "recognizer": float(loss(logits).mean()),
                    "loss": trained.loss,
                    "probability": float(own.class_probability(logits).mean()),
                }
                if not all(math.isfinite(value) for value in losses.values()):
                    raise FloatingPointError("a loss is not finite")
                (fooling,) = torch.autograd.grad(worn, leaf, at_faces)
                gradient = join_objectives(
                    leaf, fake_logits, fooling, kappa=self.kappa, length=self.joined_length
                )
                generator_optimizer.zero_grad()
                gradient = add_nps_gradient(gradient, drawn, palette, self.nps_weight)
                (gradient,) = torch.autograd.grad(drawn, raw, gradient)
                raw.backward(keep_in_range(gradient, raw.detach(), self.saturation_margin))
                generator_optimizer.step()
                step += 1
                history.append(losses)
                if step % self.check_every == 0 or step == steps:
                    found = sample(best.failure)
                    if found is not None and found.failure <= best.failure:
                        best, best_weights = found, copy.deepcopy(generator.state_dict())
                    if best.met:
                        reason = "reached the stop value"
                progress(step, steps, {**losses, "best": best.probability})
        except KeyboardInterrupt:
            reason = "interrupted"
        except FloatingPointError:
            reason = "not finite"
        # As it was when it drew the best frames, so that their latents draw them again.
        generator.load_state_dict(best_weights)
        return AttackResult(
            frames=best.frames,
            probability=best.probability,
            met=best.met,
            generator=generator.requires_grad_(requires_grad=False),
            latents=best.latents,
            iterations=step,
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=history,
        )

    def draw(self, generator: Generator, latents: Latents) -> Frames:
        """Frames of a generator that this attack has fine-tuned, as they were in its samples."""
        return self._held()(generator(latents))

    def _held(self) -> Callable[[Frames], Frames]:
        """Brings frames into the natural set, where they are to stay in it."""
        if not self.natural:
            return lambda frames: frames
        return partial(natural_set_at(self.natural_set).project, off_plane=self.off_plane)

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(
            network.parameters(), lr=rate, betas=(0.5, 0.999), weight_decay=self.weight_decay,
            fused=True,
        )  # fmt: skip

    @staticmethod
    def _tunable(network: _Network) -> _Network:
        # Running statistics instead of the batch's: what is trained is what is sampled.
        own = lay_channels_last(copy.deepcopy(network)).eval().requires_grad_(requires_grad=True)
        own.record = {"fine_tuned": True}
        return own


PHYSICAL = AGN(jitter=1.0, brightness=0.1, samples=48)
"""What a physical attack does by default; 48 frames in a sample are the papers' (Sharif et al.
2019, section 5.2)."""

"""Occlusion training: recognisers that learn from the worst rectangle, or frame, on each photo.

Wu, Tong & Vorobeychik, "Defending against physically realizable attacks on image classification"
(ICLR 2020): a rectangle is put where grey would hurt most, and its pixels are optimised there by
projected gradient descent. Beside it, frames of the eyeglass generator whose latents are optimised:
the adversarial generative net within the training.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.agn import AGN
from agns.attack.attack import natural_set_at, shipped_nets
from agns.models.dcgan import Generator, sample_latents
from agns.models.victim import Victim
from agns.settings import Count, Range, Share, check_settings
from agns.types import CANVAS, Faces, Labels, Latents

_GREY = 0.5
"""What rectangles hold at first."""

_Side = Annotated[int, Range("[1, 224]")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occlusion:
    """The worst rectangle, or the worst of a generator's frames, on each training photo."""

    height: _Side = 70
    """Of the rectangle, in pixels of the 224x224 face; the paper has 70 by 70 and 50 by 100."""

    width: _Side = 70
    """Likewise."""

    search: Literal["gradient", "exhaustive"] = "gradient"
    """How its place is found: among those where the gradient is largest, or among all."""

    stride: Count = 10
    """Pixels between places that are tried."""

    candidates: Count = 10
    """Places that the gradient's search tries."""

    steps: Count = 20
    """Steps of projected gradient descent within the rectangle; the paper has 50."""

    step: Annotated[float, Range("(0, 1]")] = 8 / 255
    """How far a step moves each pixel; the paper has 4/255."""

    share: Share = 1.0
    """Part of each batch that is attacked."""

    frames_share: Share = 0.0
    """Part of the attacked photos that wear a frame of the eyeglass generator in the natural set,
    whose latents are optimised, in place of a rectangle. Above 1 - `glasses_share` of the batch,
    some wear it over benign glasses."""

    frame_steps: Count = 8
    """Steps over the latents."""

    frame_step: Annotated[float, Range("(0, 2]")] = 0.2
    """How far a step moves each of the latents, which lie in [-1, 1]."""

    def __post_init__(self) -> None:
        check_settings(self)

    def __call__(
        self, recognizer: Victim, faces: Faces, labels: Labels, *, rng: torch.Generator
    ) -> Faces:
        """Occlude the last of a batch, frames on the very last ones.

        The first of a batch wear benign glasses already; see `agns.training.challenge.Challenge`.
        """
        attacked = round(self.share * len(faces))
        framed = round(self.frames_share * attacked)
        bare, painted = len(faces) - attacked, len(faces) - framed
        parts = [faces[:bare]]
        if framed < attacked:
            own, classes = faces[bare:painted], labels[bare:painted]
            masks = rectangle_masks(self.find_places(recognizer, own, classes), self.height,
                                    self.width)  # fmt: skip
            parts.append(self.paint(recognizer, own, classes, masks))
        if framed:
            worn = worst_frames(
                recognizer, faces[painted:], labels[painted:], shipped_nets()[0],
                steps=self.frame_steps, step=self.frame_step, rng=rng,
            )  # fmt: skip
            parts.append(worn)
        return torch.cat(parts).detach()

    def find_places(self, victim: Victim, faces: Faces, labels: Labels) -> Int64[Tensor, "batch 2"]:
        """The (top, left) at which a grey rectangle raises the loss most."""
        tops = torch.arange(0, CANVAS - self.height + 1, self.stride)
        lefts = torch.arange(0, CANVAS - self.width + 1, self.stride)
        every = torch.cartesian_prod(tops, lefts)  # (places, 2)
        if self.search == "exhaustive":
            tried = every.expand(len(faces), -1, -1)
        else:
            strength = _gradient(victim, faces, labels).square().sum(1, keepdim=True)
            within = functional.avg_pool2d(strength, (self.height, self.width), self.stride)
            best = within.flatten(1).topk(min(self.candidates, len(every)), 1).indices.cpu()
            tried = every[best]  # (batch, candidates, 2)
        worst = torch.full((len(faces),), -torch.inf)
        found = tried[:, 0].clone()
        for places in tried.unbind(1):
            masks = rectangle_masks(places, self.height, self.width).to(faces.device)
            with torch.no_grad():
                loss = _losses(victim, torch.where(masks, _GREY, faces), labels).cpu()
            found = torch.where((loss > worst)[:, None], places, found)
            worst = torch.maximum(loss, worst)
        return found

    def paint(
        self, victim: Victim, faces: Faces, labels: Labels, masks: Bool[Tensor, "batch 1 224 224"]
    ) -> Faces:
        """Raise the loss by the pixels within masks, which are grey at first."""
        masks = masks.to(faces.device)
        painted = torch.where(masks, _GREY, faces)
        for _ in range(self.steps):
            moved = painted + self.step * _gradient(victim, painted, labels).sign()
            painted = torch.where(masks, moved.clamp(0, 1), faces)
        return painted


def rectangle_masks(
    places: Int64[Tensor, "batch 2"], height: int, width: int
) -> Bool[Tensor, "batch 1 224 224"]:
    """Rectangles on the canvas by their (top, left)."""
    rows = torch.arange(CANVAS) - places[:, :1]
    columns = torch.arange(CANVAS) - places[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    masks: Tensor = (inside & ((columns >= 0) & (columns < width))[:, None])[:, None]
    return masks


def worst_frames(
    victim: Victim,
    faces: Faces,
    labels: Labels,
    generator: Generator,
    *,
    steps: int,
    step: float,
    rng: torch.Generator,
) -> Faces:
    """Faces wearing frames of a generator, with latents that raise the loss by signed steps.

    Frames are brought into the natural set as those of an attack by the nets are.
    """
    natural, off_plane = natural_set_at(None), AGN().off_plane

    def drawn(latents: Latents) -> Faces:
        frames = natural.project(generator(latents), off_plane=off_plane)
        return place(frames).to(faces.device)

    latents = sample_latents(len(faces), rng=rng)
    mask = silhouette().to(faces.device)
    for _ in range(steps):
        leaf = latents.clone().requires_grad_()
        with torch.enable_grad():
            worn = wear(faces, drawn(leaf), mask)
            (gradient,) = torch.autograd.grad(_losses(victim, worn, labels).sum(), leaf)
        latents = (latents + step * gradient.sign()).clamp(-1, 1)
    with torch.no_grad():
        return wear(faces, drawn(latents), mask)


def _losses(victim: Victim, faces: Faces, labels: Labels) -> Float[Tensor, " batch"]:
    return functional.cross_entropy(victim(faces), labels, reduction="none")


def _gradient(victim: Victim, faces: Faces, labels: Labels) -> Faces:
    leaf = faces.detach().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(_losses(victim, leaf, labels).sum(), leaf)
    return found

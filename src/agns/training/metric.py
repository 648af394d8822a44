"""Pretraining OpenFace as an embedding: triplets with semi-hard negatives, in a visible loop."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from agns.data.faces import FaceSet
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import ConfigError
from agns.geometry import resize
from agns.models.backbone import Backbone
from agns.models.initialization import draw_weights
from agns.models.openface import OpenFace
from agns.models.operating_points import embed_photos
from agns.storage import write_json
from agns.training.parallel import Machines, draws_at, on_first, precision_of, share_of
from agns.training.run import Provenance, frames_as_begun, open_run, photos_as_begun
from agns.training.sync_batchnorm import gather_over_processes
from agns.training.trainer import Trainer
from agns.training.training_data import (
    PhotoSplit,
    TrainingData,
    augment,
    split_glasses,
    split_photos,
    wearing_in,
)
from agns.training.triplets import MetricTraining, draw_batch, triplet_loss
from agns.training.verification import (
    Pairs,
    VerificationScores,
    draw_pairs,
    roc_curve,
    score_verification,
    similarities,
)
from agns.types import Embeddings, Faces, Pixels, Progress, silent

SIZE = 96
"""Height and width in pixels that OpenFace sees."""


@torch.no_grad()
def embed(network: OpenFace, faces: FaceSet, *, batch: int = 128) -> Embeddings:
    """Embeddings of every photo of a set, on the processor; the network in evaluation mode."""
    device = next(network.parameters()).device

    def small(some: Faces) -> Embeddings:
        embedded: Embeddings = network(2 * resize(some.to(device), (SIZE, SIZE)) - 1)
        return embedded.cpu()

    return embed_photos(small, faces, batch=batch)


def train_metric(
    faces: FaceSet,
    glasses: Pixels,
    config: MetricTraining,
    out: Path,
    *,
    fabric: Fabric | None = None,
    about: Provenance,
    resume: bool = False,
    progress: Progress = silent,
) -> tuple[Backbone, VerificationScores, Mapping[str, Sequence[float]]]:
    """Train OpenFace on a part of the identities, verify it on the others, and write the run.

    Args:
        faces: Photos of all identities, each with two or more.
        glasses: 64x176 benign frames as bytes.
        config: The recipe.
        out: Run directory: configuration, figures, checkpoint, `backbone.safetensors`.
        fabric: Where to run, launched; one process on the processor by default.
        about: Where the photos come from, for the record.
        resume: Go on from the checkpoint in `out`, to the figures of an unbroken run; photos and
            frames are known by content, under any names.
        progress: Told of every step; as `train_recognizer` takes it.

    Returns:
        The backbone with averaged weights; how well it verifies identities that it was not
        trained on, by which nothing is chosen; and the ROC curve, `false_acceptance` and
        `true_acceptance`.

    Raises:
        ConfigError: The settings do not fit the faces, the directory or the machines.
        DataError: Too few identities, or the loss is no longer finite.
    """
    fabric = fabric or Machines(accelerator="cpu", precision="32").open()
    rank, processes = fabric.global_rank, fabric.world_size
    batch = config.identities * config.photos
    # Refused before anything is written.
    share_of(torch.arange(batch), rank=rank, processes=processes)
    split = None
    if resume:
        faces, split = photos_as_begun(out, faces)
        glasses = frames_as_begun(out, glasses)
    rng = torch.Generator().manual_seed(config.seed)
    network = draw_weights(OpenFace(), rng=rng)
    split = split or split_photos(
        faces,
        held_fraction=config.held_fraction,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )
    own_glasses, unseen_glasses = split_glasses(glasses)
    order = torch.randperm(len(faces.identities), generator=rng).tolist()
    names = [faces.identities[index] for index in order]
    count = max(4, round(config.verified_fraction * len(order)))
    verified, others = sorted(names[:count]), sorted(names[count:])
    kept = faces.subset(split.training)
    trained = [kept.places_of(name) for name in others]
    if len(trained) < config.identities:
        raise ConfigError(
            f"a step takes {config.identities} identities, and {len(trained)} are left to train on"
        )
    pairs = draw_pairs(kept, verified, rng=rng)
    everyone = torch.cat(trained).sort().values
    data = TrainingData(
        kept, PhotoSplit(everyone, everyone[:0], everyone[:0]), own_glasses, unseen_glasses,
        frame_choices=torch.arange(len(own_glasses))[None].expand(len(kept), -1),
    )  # fmt: skip
    precision = precision_of(fabric)
    record = {
        **asdict(config), "precision": precision, "processes": processes,
        "identities_trained": len(trained), "identities_verified": verified,
        "photos_kept": len(everyone),
    }  # fmt: skip
    run = on_first(
        fabric, lambda: open_run(out, record, about, faces, split, glasses, resume=resume)
    )
    steps = max(1, len(everyone) // batch)
    trainer = Trainer(network, fabric, config, run, name="network", steps=steps, progress=progress)
    counters = trainer.load(out) if resume else None
    begin = 0 if counters is None else int(counters["epoch"])

    for epoch in range(begin, config.epochs):
        # A run that was interrupted has taken some of the steps.
        for place in range(len(trainer.losses), steps):
            joint = draw_batch(
                trained, config.identities, config.photos,
                rng=draws_at(config.seed, epoch, place),
            )  # fmt: skip
            # The first of a batch wear glasses, so that they must not all be of one identity.
            mixing = draws_at(config.seed, epoch, place, -1)
            joint = joint[torch.randperm(batch, generator=mixing)]
            shares = [
                share_of(joint, rank=other, processes=processes) for other in range(processes)
            ]
            images = augment(
                data, shares[rank], SIZE,
                wearing=wearing_in(joint, config.glasses_share, rank=rank, processes=processes),
                erased_share=config.erased_share, device=fabric.device,
                rng=draws_at(config.seed, epoch, place, rank),
            )  # fmt: skip
            embeddings = gather_over_processes(trainer.forward(2 * images - 1).float())
            labels = kept.labels[torch.cat(shares)].to(fabric.device)
            loss = triplet_loss(embeddings, labels, config.margin)
            trainer.step(epoch * steps + place, loss, images=batch, counters={"epoch": epoch})
        mean = trainer.end_epoch()
        if run is not None:
            scores = score_verification(compare(trainer.averaged, kept, pairs), pairs, kept)
            figures = {"verification_accuracy": scores.accuracy, "auc": scores.auc}
            run.log({"epoch": epoch + 1, "loss": mean, **figures, "eer": scores.eer})
            trainer.save({"epoch": epoch + 1})
        fabric.barrier()

    with torch.device("meta"):
        backbone = Backbone("of")
    backbone.backbone = trainer.averaged.cpu()

    def finish() -> tuple[VerificationScores, Mapping[str, Sequence[float]]]:
        similarity = compare(trainer.averaged, kept, pairs)
        scores, curve = score_verification(similarity, pairs, kept), roc_curve(similarity, pairs)
        write_json(out / "roc.json", curve)
        anew = count_saved_anew(faces, find_twins(faces))
        more = {"training_seconds": round(trainer.seconds, 1), "saved_anew": anew}
        write_json(out / "scores.json", {**asdict(scores), **more})
        backbone.record = {
            "recipe": json.loads(json.dumps(asdict(config))),
            "source": about.source,
            "center_crop": about.center_crop,
            "precision": precision,
            "scores": asdict(scores),
            "training_photos": [kept.digests[i] for i in everyone.tolist()],
        }
        backbone.write(out / "backbone.safetensors")
        return scores, curve

    found = fabric.broadcast(on_first(fabric, finish))
    assert found is not None
    return backbone, *found


def compare(network: OpenFace, faces: FaceSet, pairs: Pairs) -> Float[Tensor, " pairs"]:
    """Similarities of pairs of photos, by a network in evaluation mode."""
    used, places = torch.cat([pairs.first, pairs.second]).unique(return_inverse=True)
    first, second = places.chunk(2)
    own = Pairs(first=first, second=second, same=pairs.same, fold=pairs.fold)
    return similarities(embed(network, faces.subset(used)), own)

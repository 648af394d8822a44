"""Judges of appearance: what they must let pass, and what not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from agns.accessory.frame import frame_mask
from agns.accessory.total_variation import total_variation
from agns.attack.agn import AGN
from agns.attack.goals import Dodge
from agns.attack.pixel_descent import PGD
from agns.data.simulation.drawn_frames import PARTS, draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import DataError
from agns.evaluation.judges import (
    FEWEST,
    NEIGHBOURS,
    Appearance,
    Judges,
    compared,
    shipped_judge,
    two_sample_test,
)
from agns.evaluation.sealed_judge import Reference, SealedJudge, read_judges, write_judges
from agns.images import from_pixels
from agns.models.recognizer import Recognizer
from agns.models.shipped import shipped_weights
from agns.storage import save_tensors
from agns.types import Frames, Pixels


@pytest.fixture(scope="module")
def real() -> Pixels:
    """Frames that set neither a threshold nor a comparison."""
    return draw_frames(60, start=PARTS["judges"].start + 2000)


@pytest.fixture(scope="module")
def judges() -> Judges:
    found = Judges.of(draw_frames(NEIGHBOURS))
    assert found is not None
    return found


def noise(count: int) -> Frames:
    drawn = torch.rand(count, 3, 64, 176, generator=torch.Generator().manual_seed(2))
    return drawn * frame_mask()


def blocks(count: int) -> Frames:
    """Saturated colours in squares of eight pixels."""
    small = (noise(count)[:, :, ::8, ::8] > 0.5).float()
    return functional.interpolate(small, scale_factor=8) * frame_mask()


def passing(judges: Judges, frames: Frames) -> float:
    return float(np.mean([one.passes for one in judges.look_at(frames)]))


def test_fresh_real_frames_pass(judges: Judges, real: Pixels) -> None:
    seen = judges.look_at(from_pixels(real))
    assert passing(judges, from_pixels(real)) > 0.8
    assert 0.85 <= np.mean([one.sealed is not None and one.sealed >= 0 for one in seen]) <= 1
    # Their shares are spread as those of other real frames are.
    for name in ("patches", "whole", "variation"):
        assert 0.3 < np.mean([getattr(one, name) for one in seen]) < 0.7


@pytest.mark.parametrize("rejected", [noise(8), blocks(8)], ids=["noise", "blocks"])
def test_noise_and_saturated_blocks_do_not(judges: Judges, rejected: Frames) -> None:
    assert passing(judges, rejected) == 0
    sealed = [one.sealed for one in judges.look_at(rejected)]
    assert all(one is not None and one < 0 for one in sealed)


def test_frames_of_attacks_that_need_not_look_like_glasses_do_not_either(
    judges: Judges,
) -> None:
    victim = Recognizer.read(shipped_weights("of10_synthetic"))
    photos = synthetic_faces(SyntheticConfig(identities=1, photos=6)).faces(torch.arange(6))
    free = AGN(kappa=0, natural=False, batch=8, samples=4, check_every=30, precision="fp32")
    for attack in (PGD(steps=30), free):
        found = attack.run(
            victim, photos, Dodge(subject=0, stop=1e-9), frames=draw_frames(240, start=900)
        )
        (seen,) = judges.look_at(found.frames[:1].detach())
        assert not seen.passes
        assert seen.reason


def test_distances_are_what_numpy_finds(real: Pixels) -> None:
    own, others = real[:3], real[3:20]
    nothing = torch.zeros(1)
    found = Judges(others, Reference(nothing, nothing, nothing)).distances(from_pixels(own))
    mask = frame_mask().numpy() > 0
    first, second = (from_pixels(some).double().numpy() for some in (own, others))
    for place, frame in enumerate(first):
        whole = [np.sqrt(np.mean((frame - other)[:, mask] ** 2)) for other in second]
        assert float(found.whole[place]) == pytest.approx(min(whole), rel=1e-4)
        patches = []
        for row in range(0, 57, 4):
            for column in range(0, 169, 4):
                cut = (..., slice(row, row + 8), slice(column, column + 8))
                if mask[cut].mean() >= 0.5:
                    apart = [np.sqrt(np.mean((frame[cut] - other[cut]) ** 2)) for other in second]
                    patches.append(min(apart))
        assert float(found.patches[place]) == pytest.approx(np.mean(patches), rel=1e-4)
    assert torch.equal(found.variation, total_variation(from_pixels(own)))


def test_shares_are_of_real_frames_that_come_to_less(real: Pixels) -> None:
    reference = compared(real[:20], real[20:60])
    judges = Judges(real[:20], reference)
    own = judges.distances(from_pixels(real[5:8]))
    for place, seen in enumerate(judges.look_at(from_pixels(real[5:8]))):
        for name in Reference._fields:
            less = (getattr(reference, name) < getattr(own, name)[place]).float().mean()
            assert getattr(seen, name) == pytest.approx(float(less))
        assert seen.sealed is None
        assert seen.worst == max(seen.patches, seen.whole, seen.variation)


def test_a_users_own_frames_are_compared_with_each_other(real: Pixels) -> None:
    own = torch.cat([real.flip(3), real.flip(2)])
    judges = Judges.of(own)
    assert judges is not None
    (seen,) = judges.look_at(from_pixels(own[:1]))
    # It is one of those that others are compared with.
    assert (seen.sealed, seen.whole) == (None, 0)
    assert Judges.of(own[: FEWEST - 1]) is None


def test_a_frame_passes_unless_a_judge_says_no() -> None:
    usual = Appearance(patches=0.5, whole=0.5, variation=0.5, sealed=0.1)
    assert (usual.passes, usual.reason) == (True, "")
    rough = replace(usual, variation=0.99)
    assert (rough.passes, rough.reason) == (False, "of real frames 99.0% are smoother")
    known = replace(usual, sealed=-0.1)
    assert (known.passes, known.reason) == (False, "the sealed judge takes it for an attack's")


def test_a_classifier_tells_noise_from_real_frames_and_not_real_ones_from_each_other(
    real: Pixels,
) -> None:
    frames = from_pixels(real)
    told, (low, _) = two_sample_test(shipped_judge(), noise(30), frames[:30])
    assert told > 0.95
    assert low > 0.8
    alike, (low, high) = two_sample_test(shipped_judge(), frames[:30], frames[30:])
    assert low < 0.5 < high
    assert low < alike < high


def test_judges_that_are_written_are_read_the_same(tmp_path: Path, real: Pixels) -> None:
    judge, reference = SealedJudge().half().float().eval(), compared(real[:5], real[5:9])
    judge.threshold.fill_(0.7)
    path = tmp_path / "judges.safetensors"
    write_judges(path, judge, reference, "abc")
    again, same, known = read_judges(path)
    assert known == "abc"
    assert torch.equal(again(from_pixels(real[:4])), judge(from_pixels(real[:4])))
    assert float(again.threshold) == pytest.approx(0.7)
    assert all(torch.equal(*pair) for pair in zip(same, reference, strict=True))
    save_tensors(path, {"judge.threshold": torch.zeros(())}, {})
    with pytest.raises(DataError, match="holds no judges"):
        read_judges(path)


def test_the_judges_that_come_along_know_their_own_frames_alone(judges: Judges) -> None:
    sealed, reference, _ = read_judges(shipped_weights("judges"))
    assert len(reference.whole) == 1000
    assert not sealed.training
    assert judges.sealed is not None
    others = draw_frames(NEIGHBOURS)
    others[-1] = others[0]
    own = Judges.of(others)
    assert own is not None
    assert own.sealed is None

"""What masking guarantees, and the code that the guarantee rests on.

Statement:
    Let `f` be a recogniser that decides on a photo, and `fill(photo, region)` depend on the pixels
    outside the region alone. Let a frame of any content be worn in any placement of a set, and
    `regions` be such that each placement lies within one of them: the frame changes pixels of that
    region only.

    One round. With a single region, `f(fill(worn, region))` is `f(fill(bare, region))`: it is the
    same for all contents and placements. A photo is certified if this is right.

    Two rounds (Xiang et al., PatchCleanser, USENIX Security 2022). If, on the bare photo, all of
    `f(fill(bare, one | other))`, over every pair of regions and over each region with itself, are
    the same decision, then `two_rounds` gives that decision on the photo wearing any such frame.

    Why: say the frame lies within region k. (1) The row of k is as on the bare photo, since what it
    shows is: all of it is the certified decision c. (2) So c is among the first round's decisions.
    If these agree, they agree on c. (3) If they do not and c is in the minority, k is gone through
    in the second round and its row agrees on c; another region j of a minority decision d that is
    not c has k in its row, where region k hides the frame: that entry is c, not d. So c is found,
    and nothing but c. (4) If c is the majority, no j is found, by the same entry, and the majority
    is taken, which is c.

It says nothing of a photo that is wrong already, nor of anything worn outside the regions, nor of
alignment: a frame that moves the landmarks by which a face is aligned moves all of its pixels. It
holds for numbers as computed if `f` answers the same picture alike whatever stands beside it. A
decision on a claim is one of its own: that one claim is certified says nothing of others.
"""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

Decisions = Int64[Tensor, "regions regions photos"]
"""What is decided on each photo with two regions filled; symmetric, and on the diagonal with one.
A decision is any whole number from 0: a class, or whether a claim is believed."""


def two_rounds(decisions: Decisions) -> tuple[Int64[Tensor, " photos"], Int64[Tensor, " photos"]]:
    """Decide on each photo by its decisions under one and two masks.

    Returns:
        The decision, and the region whose row or entry made it: of the second round the one whose
        row agrees; else the first that gives this decision with one mask.
    """
    first = decisions.diagonal().mT  # (regions, photos)
    majority = first.mode(0).values
    agrees = (decisions == first[:, None]).all(1) & (first != majority)
    # The first of those that are borne out; where there is none, the majority.
    found, place = agrees.any(0), agrees.int().argmax(0)
    decided = torch.where(found, first.gather(0, place[None])[0], majority)
    by = torch.where(found, place, (first == majority).int().argmax(0))
    return decided, by


def certified(decisions: Decisions, right: Int64[Tensor, " photos"]) -> Bool[Tensor, " photos"]:
    """Whether no frame within one of the regions can change what `two_rounds` rightly decides.

    Args:
        decisions: On photos without a frame.
        right: What each photo should be taken for.
    """
    return (decisions == right).all(1).all(0)

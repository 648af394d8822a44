"""Other libraries' attacks on a frame's pixels: ART's AutoPGD and Square, and foolbox's PGD.

Such an attack is handed a classifier of frames, `FrameClassifier`, and does to one frame what it
does to a picture elsewhere. What it is not handed is the decision: the frame that did best on the
craft photos is kept, whichever the library returns, and the goal's stop value ends its loop.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import FrameAttack, Nets
from agns.attack.closed_set import as_closed_set
from agns.attack.goals import Goal, log_odds
from agns.attack.query import NO_GRADIENT
from agns.attack.result import AttackResult, Reason
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError, QueryBudgetSpent
from agns.models.victim import Victim
from agns.settings import Count, Range, check_settings
from agns.types import Faces, Frames, Logits, Progress

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier

Kind: TypeAlias = Literal["art-apgd", "art-square", "foolbox-pgd"]
"""AutoPGD (Croce & Hein 2020), the Square attack (Andriushchenko et al. 2020), which asks for no
gradient, and projected gradient descent (Madry et al. 2018)."""

_START = 0.5
"""The grey that every pixel begins with: as far from black as from white."""


class FrameClassifier(nn.Module):
    """A victim as a classifier of frames: the mean of its logits over photos that wear a frame.

    What attacks a picture can attack a frame so, and finds one for all of the photos: the softmax
    of mean logits is the geometric mean of the photos' probabilities, brought to a sum of 1.

    Args:
        victim: In evaluation mode; where it is differentiable, so is this.
        faces: The photos, (photos, 3, 224, 224), in [0, 1].
        placement: Where frames sit on them.
        seen: Told of each new frame, with the photos' logits, (photos, classes).
    """

    def __init__(
        self,
        victim: Victim,
        faces: Faces,
        *,
        placement: Placement = FIXED,
        seen: Callable[[Frames, Logits], None] | None = None,
    ) -> None:
        super().__init__()
        self.classes = len(victim.identities)
        # In a tuple, as no part: libraries move modules, and switch them to and from training.
        self._victim = (victim,)
        self._faces, self._placement, self._seen = faces, placement, seen
        self._known: list[tuple[Frames, Logits]] = []

    def forward(self, frames: Frames) -> Logits:
        """Mean logits, (frames, classes), of frames in [0, 1]."""
        return torch.cat([self._one(frame) for frame in frames.split(1)])

    def _one(self, frame: Frames) -> Logits:
        follows = frame.requires_grad and torch.is_grad_enabled()
        # Libraries ask for the same frames again and again.
        for known, answer in self._known:
            if torch.equal(known, frame):
                return self._ask(frame).mean(0, keepdim=True) if follows else answer
        logits = self._ask(frame)
        mean: Logits = logits.mean(0, keepdim=True)
        self._known = [(frame.detach().clone(), mean.detach()), *self._known[:3]]
        if self._seen is not None:
            self._seen(frame.detach(), logits.detach())
        return mean

    def _ask(self, frame: Frames) -> Logits:
        photos = torch.arange(len(self._faces)).split(64)
        worn = (self._placement.wear(self._faces, frame, some) for some in photos)
        logits = torch.cat([self._victim[0](some) for some in worn])
        if frame.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            raise AttackError(NO_GRADIENT)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryAttack(FrameAttack):
    """An attack of the Adversarial Robustness Toolbox or of foolbox on a frame's pixels."""

    kind: Kind = "art-apgd"
    """Which attack."""

    steps: Count = 100
    """Steps at most, each over all photos; of the Square attack the squares that are tried."""

    bound: Annotated[float, Range("(0, 0.5]")] = _START
    """How far a pixel may be from the mid-grey that it begins with; 0.5 for anywhere."""

    def __post_init__(self) -> None:
        check_settings(self)

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
        """As `FrameAttack.find`: the best frame on the photos of all that the library tried.

        Raises:
            ConfigError: The library is not installed.
        """
        started = time.perf_counter()
        # No library has heard of a gallery's threshold.
        victim, goal = as_closed_set(victim, goal)
        attempt = _Attempt(goal, self.steps, progress)
        classifier = FrameClassifier(victim, faces, placement=placement, seen=attempt.judge).eval()
        first = torch.full((1, 3, *FRAME_SIZE), _START)
        reason: Reason = "used up its steps"
        with _seeded_numpy(rng):
            try:
                _ATTACKS[self.kind](classifier, first, goal, self)
            except _Ended as end:
                (reason,) = end.args
            except (KeyboardInterrupt, QueryBudgetSpent) as end:
                if attempt.best is None:
                    raise
                reason = (
                    "interrupted" if isinstance(end, KeyboardInterrupt) else "used up its queries"
                )
        assert attempt.best is not None
        return AttackResult(
            frames=torch.where(frame_mask() > 0, attempt.best, _START),
            probability=goal.probability(attempt.failure),
            met=attempt.failure <= goal.max_failure,
            # The frame before the first step is shown, too, and AutoPGD goes back to the best.
            iterations=min(len(attempt.history) - 1, self.steps),
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=attempt.history,
        )


class _Ended(Exception):
    """Leaves a library's loop; its argument is the `Reason`."""


class _Attempt:
    """What became of the frames that a library tried on the photos."""

    def __init__(self, goal: Goal, steps: int, progress: Progress) -> None:
        self.goal, self.steps, self.progress = goal, steps, progress
        self.best: Frames | None = None
        self.failure = float("inf")
        self.history: list[dict[str, float]] = []

    def judge(self, frame: Frames, logits: Logits) -> None:
        """Keep the best frame, and end the loop where that is good enough."""
        failure = float(self.goal.failure_probability(logits).mean())
        if not np.isfinite(failure):
            if self.best is None:
                raise AttackError("the attack cannot begin: the recogniser's logits are not finite")
            raise _Ended("not finite")
        if failure < self.failure:
            self.best, self.failure = frame.clone(), failure
        self.history.append({"probability": self.goal.probability(failure)})
        done = min(len(self.history) - 1, self.steps)
        self.progress(done, self.steps, {"best": self.goal.probability(self.failure)})
        if self.failure <= self.goal.max_failure:
            raise _Ended("reached the stop value")


@contextlib.contextmanager
def quiet_import(library: str) -> Iterator[None]:
    """Import another library without the warnings of its own code.

    Args:
        library: Its name on PyPI, for the errors.

    Raises:
        ConfigError: It is not installed, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        raise ConfigError(f'this needs {library} ({error}): pip install "agns[interop]"') from error
    except ImportError as error:
        # Foolbox, for one, where there is no git: GitPython says a page.
        told = str(error).strip().splitlines()[0]
        raise ConfigError(f"{library} cannot be imported: {told}") from error


@contextlib.contextmanager
def _seeded_numpy(rng: torch.Generator) -> Iterator[None]:
    """ART draws from NumPy's global generator, which is afterwards as it was before."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(int(torch.randint(2**31, (), generator=rng)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _art_apgd(
    classifier: FrameClassifier, first: Frames, goal: Goal, settings: LibraryAttack
) -> None:
    with quiet_import("adversarial-robustness-toolbox"):
        from art.attacks.evasion import AutoProjectedGradientDescent
    attack = AutoProjectedGradientDescent(
        _art_classifier(classifier, goal),
        # The first step as Croce & Hein (2020) have it.
        eps=settings.bound, eps_step=2 * settings.bound, max_iter=settings.steps,
        targeted=goal.name == "impersonate", nb_random_init=1, verbose=False,
    )  # fmt: skip
    attack.generate(first.numpy(), np.array([goal.index]))


def _art_square(
    classifier: FrameClassifier, first: Frames, goal: Goal, settings: LibraryAttack
) -> None:
    with quiet_import("adversarial-robustness-toolbox"):
        from art.attacks.evasion import SquareAttack

    @torch.no_grad()
    def loss(frames: NDArray[np.float32], _: object) -> NDArray[np.float32]:
        # ART's own knows no targets.
        return -log_odds(classifier(torch.from_numpy(frames)), goal).numpy()

    attack = SquareAttack(
        _art_classifier(classifier, goal),
        loss=loss, eps=settings.bound, max_iter=settings.steps, verbose=False,
        # Of ART's 0.8 the first squares would be higher than the frame.
        p_init=0.3,
    )  # fmt: skip
    attack.generate(first.numpy(), np.array([_missed(goal)]))


def _missed(goal: Goal) -> int:
    """A class for which a frame is taken while the goal is missed."""
    return goal.index if goal.name == "dodge" else int(goal.index == 0)


def _art_classifier(classifier: FrameClassifier, goal: Goal) -> "PyTorchClassifier":
    from art.estimators.classification import PyTorchClassifier

    made = PyTorchClassifier(
        classifier,
        loss=nn.CrossEntropyLoss(), input_shape=(3, *FRAME_SIZE),
        nb_classes=classifier.classes, clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip
    # ART predicts only to leave frames alone that are misread at all; the stop value is for us to
    # tell, so that it hears that the goal is missed. Losses and gradients are not predictions.
    missed = 2 * np.eye(classifier.classes, dtype=np.float32)[[_missed(goal)]]
    made.predict = lambda x, **_: missed.repeat(len(x), 0)
    return made


def _foolbox_pgd(
    classifier: FrameClassifier, first: Frames, goal: Goal, settings: LibraryAttack
) -> None:
    with quiet_import("foolbox"):
        from foolbox.attacks import LinfPGD
        from foolbox.criteria import Misclassification, TargetedMisclassification
        from foolbox.models import PyTorchModel
    # The step as Madry et al. (2018) have it.
    attack = LinfPGD(steps=settings.steps, rel_stepsize=2.5 / settings.steps, random_start=False)
    kind = TargetedMisclassification if goal.name == "impersonate" else Misclassification
    model = PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    criterion = kind(torch.tensor([goal.index]))
    # What the last step comes to, foolbox does not ask.
    model(attack.run(model, first, criterion, epsilon=settings.bound))


_ATTACKS: Mapping[Kind, Callable[[FrameClassifier, Frames, Goal, LibraryAttack], None]] = {
    "art-apgd": _art_apgd,
    "art-square": _art_square,
    "foolbox-pgd": _foolbox_pgd,
}
"""Each attacks a mid-grey frame; what it tries, the classifier sees."""

"""Several attacks on one recogniser, which sees the photos of all of them in one batch.

Convention:
    An attack is a Python generator. It yields questions, is sent their answers, and returns its
    outcome. Nothing else of it touches the victim, so that whoever runs it may put the questions
    of several attacks together. Each attack keeps its own networks, optimisers and draws: what one
    does never depends on the others beyond the rounding of a larger batch.
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from agns.attack.outcome import Outcome
from agns.errors import AgnsError
from agns.models.recognizer import Recognizer
from agns.models.weights import device_of
from agns.training.precision import autocast
from agns.types import Faces, Logits

Loss: TypeAlias = Callable[[Logits], Float[Tensor, " batch"]]
"""What an attack lowers, for each face."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """Faces that an attack shows to the victim."""

    worn: Faces
    """In [0, 1]; cut off from what they were computed from."""

    loss: Loss | None = None
    """What to take the gradient of; None where logits will do."""

    precision: str = "fp32"
    """`fp32` or `bf16`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What the victim makes of them."""

    logits: Logits
    """Without a graph."""

    slope: Float[Tensor, "asked 3 224 224"]
    """The gradient of the summed loss at the faces; empty where there was none."""


Found = TypeVar("Found")
Steps: TypeAlias = Generator[Question, Answer, Found]
"""An attack under way, or a part of one."""

Attack: TypeAlias = Generator[Question, Answer, Outcome]
"""A whole attack, not begun yet."""


def answer_alone(victim: Recognizer, steps: "Steps[Found]") -> Found:
    """Run one attack, or a part of one, to its end, and give what it returns.

    Ctrl-C is the attack's to take, wherever it comes.

    Args:
        victim: In evaluation mode.
        steps: What asks; what it raises is raised.
    """
    try:
        question = next(steps)
        while True:
            try:
                (answer,) = _answer(victim, [question])
            except KeyboardInterrupt as key:
                question = steps.throw(key)
            else:
                question = steps.send(answer)
    except StopIteration as end:
        found: Found = end.value
        return found


def attack_together(
    victim: Recognizer, attacks: Sequence[Attack], *, most: int = 64
) -> list[Outcome | AgnsError]:
    """Run attacks side by side until the last one has ended.

    In each round the victim answers all of them; questions of one kind go together, up to `most`
    faces. Ctrl-C ends all of them early, each with what it has.

    Args:
        victim: In evaluation mode.
        attacks: Not begun yet.
        most: Faces that the victim sees at once; an attack's own question is never divided.

    Returns:
        In the order of the attacks, each one's outcome or why it could not be made. An outcome's
        `seconds` are its own work and its share of the victim's, by faces.

    Raises:
        KeyboardInterrupt: One of them had nothing yet.
    """
    run = _Run(victim, attacks, most)
    try:
        run.begin()
        while run.waiting:
            run.answer_all()
    except KeyboardInterrupt:
        run.interrupt()
        if len(run.ended) < len(attacks):
            raise
    finally:
        for attack in attacks:
            attack.close()
    return [run.ended[place] for place in range(len(attacks))]


@dataclass(slots=True, eq=False)
class _Run:
    """Attacks under way."""

    victim: Recognizer
    attacks: Sequence[Attack]
    most: int
    waiting: dict[int, Question] = field(default_factory=dict)
    ended: dict[int, Outcome | AgnsError] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    interrupted: bool = False

    def begin(self) -> None:
        for place, attack in enumerate(self.attacks):
            if place not in self.ended:
                self._go_on(place, partial(next, attack))

    def answer_all(self) -> None:
        for asked in list(_gathered(self.waiting, self.most)):
            # One that was broken off has broken off the others.
            places = [place for place in asked if place in self.waiting]
            try:
                self._answer_some(places)
            except AgnsError:
                # One asks what cannot be answered: the others do not suffer for it.
                for place in places:
                    try:
                        self._answer_some([place])
                    except AgnsError as error:
                        self.waiting.pop(place, None)
                        self.ended[place] = error

    def _answer_some(self, places: Sequence[int]) -> None:
        if not places:
            return
        faces = [len(self.waiting[place].worn) for place in places]
        started = time.perf_counter()
        answers = _answer(self.victim, [self.waiting[place] for place in places])
        spent = time.perf_counter() - started
        for place, answer, share in zip(places, answers, faces, strict=True):
            self.seconds[place] += spent * share / max(1, sum(faces))
            if place in self.waiting:
                self._go_on(place, partial(self.attacks[place].send, answer))

    def interrupt(self) -> None:
        """Have all that are left end early."""
        self.interrupted = True
        for place in list(self.waiting):
            if place in self.waiting:
                self._go_on(place, partial(self.attacks[place].throw, KeyboardInterrupt()))

    def _go_on(self, place: int, step: Callable[[], Question]) -> None:
        started = time.perf_counter()
        self.waiting.pop(place, None)
        try:
            question = step()
        except StopIteration as end:
            outcome: Outcome = end.value
            self.ended[place] = outcome
        except AgnsError as error:
            self.ended[place] = error
        else:
            self.waiting[place] = question
        spent = self.seconds.get(place, 0.0) + time.perf_counter() - started
        self.seconds[place] = spent
        found = self.ended.get(place)
        if isinstance(found, Outcome):
            found.seconds = spent
            if found.stopped_because == "interrupted" and not self.interrupted:
                # It took the key for itself.
                self.interrupt()


def _gathered(waiting: dict[int, Question], most: int) -> Iterable[list[int]]:
    """The questions that go to the victim together: of one kind, up to so many faces."""

    def kind(place: int) -> tuple[bool, str]:
        return waiting[place].loss is not None, waiting[place].precision

    for _, places in groupby(sorted(waiting, key=lambda place: (kind(place), place)), kind):
        together: list[int] = []
        faces = 0
        for place in list(places):
            count = len(waiting[place].worn)
            if together and faces + count > most:
                yield together
                together, faces = [], 0
            together.append(place)
            faces += count
        yield together


def _answer(victim: Recognizer, questions: Sequence[Question]) -> list[Answer]:
    """One pass through the victim, and one back where there are losses."""
    worn = torch.cat([question.worn for question in questions])
    sizes = [len(question.worn) for question in questions]
    wanted = [question.loss for question in questions if question.loss is not None]
    if not wanted:
        with torch.no_grad(), autocast(questions[0].precision, device_of(victim).type):
            logits: Logits = victim(worn)
        return [Answer(logits=own, slope=worn[:0]) for own in logits.split(sizes)]
    worn.requires_grad_()
    with torch.enable_grad():
        with autocast(questions[0].precision, device_of(victim).type):
            logits = victim(worn)
        losses = [loss(own) for loss, own in zip(wanted, logits.split(sizes), strict=True)]
        (slope,) = torch.autograd.grad(torch.cat(losses).sum(), worn)
    return [
        Answer(logits=own, slope=steep)
        for own, steep in zip(logits.detach().split(sizes), slope.split(sizes), strict=True)
    ]

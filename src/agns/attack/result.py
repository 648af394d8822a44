"""What an attack leaves on disk: frames and their latents, history, fine-tuned generator."""

from pathlib import Path

from agns.accessory.frame import place
from agns.attack.agn import AgnOutcome
from agns.attack.outcome import Outcome
from agns.images import write_image
from agns.models.dcgan import save_network
from agns.storage import save_tensors, write_json


def save_outcome(outcome: Outcome, out: Path) -> None:
    """Write an outcome into a directory.

    `frame.png` is the best frame, 64x176, and `frame_on_canvas.png` the same on the 224x224
    canvas; `frames/` holds it and the others, best first; `history.json` the figures of each step.
    Where a generator drew them, `latents.safetensors` is what `generator.safetensors`, the
    fine-tuned one, drew them from. What an earlier attack left that ended before its result was
    written goes.
    """
    frames = outcome.frames
    for left in (out / "frames").glob("[0-9][0-9]*.png"):
        left.unlink()
    for name in ("latents", "generator"):
        (out / f"{name}.safetensors").unlink(missing_ok=True)
    write_image(out / "frame.png", frames[0])
    write_image(out / "frame_on_canvas.png", place(frames[:1])[0])
    for rank, frame in enumerate(frames):
        write_image(out / "frames" / f"{rank + 1:02d}.png", frame)
        write_image(out / "frames" / f"{rank + 1:02d}_on_canvas.png", place(frame[None])[0])
    if isinstance(outcome, AgnOutcome):
        latents = outcome.best.latents
        save_tensors(out / "latents.safetensors", {"latents": latents}, {})
        save_network(out / "generator.safetensors", outcome.generator, {"fine_tuned": True})
    write_json(out / "history.json", {"steps": outcome.history})

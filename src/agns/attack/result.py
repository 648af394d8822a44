"""What an attack leaves on disk: frames and their latents, history, fine-tuned generator."""

from pathlib import Path

from agns.accessory.frame import place
from agns.attack.agn import AgnOutcome
from agns.images import write_image
from agns.models.dcgan import save_network
from agns.storage import save_tensors, write_json


def save_outcome(outcome: AgnOutcome, out: Path) -> None:
    """Write an outcome into a directory.

    `frame.png` is the best frame, 64x176, and `frame_on_canvas.png` the same on the 224x224
    canvas; `frames/` holds the others of the same look, best first; `latents.safetensors` what
    `generator.safetensors`, the fine-tuned generator, drew them from; `history.json` the figures
    of each step. Frames of an earlier attack that ended before its result was written go.
    """
    best = outcome.best
    for left in (out / "frames").glob("[0-9][0-9]*.png"):
        left.unlink()
    write_image(out / "frame.png", best.frames[0])
    write_image(out / "frame_on_canvas.png", place(best.frames[:1])[0])
    for rank, frame in enumerate(best.frames):
        write_image(out / "frames" / f"{rank + 1:02d}.png", frame)
        write_image(out / "frames" / f"{rank + 1:02d}_on_canvas.png", place(frame[None])[0])
    save_tensors(out / "latents.safetensors", {"latents": best.latents}, {})
    save_network(out / "generator.safetensors", outcome.generator, {"fine_tuned": True})
    write_json(out / "history.json", {"steps": outcome.history})

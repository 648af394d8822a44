from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from agns.models.importing.tflite_network import read_tflite

pytest.importorskip("tflite")


def test_mobile_face_net_embeds_as_its_own_runtime_does(
    data_path: Callable[[str], Path], generator: torch.Generator
) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = data_path("models/MobileFaceNet.tflite")
    network = read_tflite(path)
    chips = 2 * torch.rand(3, 3, 112, 112, generator=generator) - 1
    runtime = litert.Interpreter(str(path))
    runtime.allocate_tensors()
    theirs = []
    for chip in chips:
        # It takes two at once.
        both = np.repeat(chip.permute(1, 2, 0).numpy()[None], 2, axis=0)
        runtime.set_tensor(runtime.get_input_details()[0]["index"], both)
        runtime.invoke()
        theirs.append(runtime.get_tensor(runtime.get_output_details()[0]["index"])[0])
    embeddings = F.normalize(network(chips))
    torch.testing.assert_close(
        embeddings, F.normalize(torch.tensor(np.array(theirs))), atol=1e-5, rtol=0
    )

"""What every page of a server shares: recognisers, faces, eyeglasses and runs."""

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from agns.attack.attack import Nets, shipped_nets
from agns.data.eyeglasses import read_eyeglasses
from agns.data.face_folder import list_identities
from agns.data.simulation.drawn_frames import DrawnFrames, RealFrames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import ConfigError
from agns.evaluation.stealth import StealthScale
from agns.loading import LoadedVictim, attacked_crop, load_faces, load_victim
from agns.models.victim import Victim, freeze
from agns.studio.runs import Runs
from agns.types import Faces

SHIPPED = "The one that comes with agns (ten drawn people)"

REAL = 200
"""Real frames that generated ones are judged beside on the page; attacks take all."""

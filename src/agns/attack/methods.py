"""The attacks there are, by name; and the user's own."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace

from agns.attack.agn import AGN
from agns.attack.attack import Attack, FrameAttack
from agns.attack.baselines import Baseline
from agns.attack.cmaes import CMAES
from agns.attack.library_attack import LibraryAttack
from agns.attack.pixel_descent import CCS16, CCS16_BOUNDED, CCS16_PHYSICAL, PGD, PixelDescent
from agns.attack.pixels import FreePixels
from agns.attack.span import Span
from agns.attack.square import Square
from agns.attack.transfer import Transfer
from agns.data.faces import names_like
from agns.errors import ConfigError
from agns.object_reference import is_reference, load_object

METHODS: Mapping[str, FrameAttack] = {
    "agn": AGN(),
    "agn-paper": AGN.paper(),
    "span": Span(),
    "ccs16": CCS16(),
    "ccs16-bounded": CCS16_BOUNDED,
    "ccs16-physical": CCS16_PHYSICAL,
    "pgd": PGD(),
    "pixels": FreePixels(),
    "cmaes": CMAES(),
    "square": Square(),
    "transfer": Transfer(),
    "benign": Baseline(kind="benign"),
    "untrained-generator": Baseline(kind="untrained_generator"),
    "noise": Baseline(kind="noise"),
    "solid": Baseline(kind="solid"),
    "art-apgd": LibraryAttack(kind="art-apgd"),
    "art-square": LibraryAttack(kind="art-square", steps=1000),
    "foolbox-pgd": LibraryAttack(kind="foolbox-pgd"),
}
"""The attacks by name, with their usual settings."""


def find_attack(name: str) -> Attack:
    """An attack with its usual settings, by its name in `METHODS` or as `package.module:Class`.

    Raises:
        ConfigError: There is none of that name, or the class is no dataclass with a `run`, or has
            settings without defaults.
    """
    if name in METHODS:
        return METHODS[name]
    if not is_reference(name):
        known = ", ".join(METHODS)
        told = names_like(name, tuple(METHODS)) or f"there are {known}, or package.module:Class"
        raise ConfigError(f"there is no attack {name!r}: {told}")
    found = load_object(name)
    if not isinstance(found, type) or not is_dataclass(found) or not hasattr(found, "run"):
        raise ConfigError(f"{name} is no attack: it should be a dataclass with a method `run`")
    try:
        own = found()
    except TypeError as error:
        raise ConfigError(f"the settings of {name} need defaults: {error}") from error
    assert isinstance(own, Attack)
    return own


def palette_of(attack: Attack | None) -> str | None:
    """The file of the colours that an attack takes for printable; None for the assumed ones."""
    palette = getattr(attack, "palette", None)
    return palette if isinstance(palette, str) else None


def settings_of(attack: object) -> dict[str, object]:
    """An attack's settings by name; none of one that is no dataclass."""
    if is_dataclass(attack) and not isinstance(attack, type):
        return asdict(attack)
    return {}


_FREE = (
    "kappa", "steps", "step", "momentum", "batch", "samples", "check_every", "epochs", "jitter",
    "brightness", "nps_weight", "palette", "precision", "discriminator_rate",
)  # fmt: skip
"""Settings that do not make another attack of one."""


def name_of(attack: Attack) -> str:
    """An attack's name in `METHODS`, by what it does; of another class its reference."""
    if type(attack) in (Baseline, LibraryAttack):
        assert isinstance(attack, Baseline | LibraryAttack)
        return attack.kind.replace("_", "-")
    for name, usual in METHODS.items():
        kept = {one: getattr(attack, one) for one in _FREE if hasattr(attack, one)}
        if type(usual) is type(attack) and replace(usual, **kept) == attack:
            return name
    by_type = {AGN: "agn", FreePixels: "pixels", PGD: "pgd", PixelDescent: "pixel-descent",
               CCS16: "pixel-descent", CMAES: "cmaes", Square: "square",
               Transfer: "transfer", Span: "span"}  # fmt: skip
    if type(attack) in by_type:
        return by_type[type(attack)]
    return f"{type(attack).__module__}:{type(attack).__qualname__}"

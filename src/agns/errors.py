"""Everything agns raises on purpose.

```
AgnsError
├── ConfigError          a flag, setting, name or path that cannot be used (exit code 2)
├── ImageContractError   a tensor that is not float32 RGB, NCHW, in [0, 1] (exit code 2)
├── DataError            files that cannot be used
│   ├── UnreadableImage  a picture that does not decode
│   ├── FaceNotFound     a picture in which no face is found
│   └── MarksNotFound    a photo without exactly seven green marks on a worn frame
├── WeightsError         a weight file that cannot be read, or does not fit
└── AttackError          an attack that cannot start, or broke down on the way
    └── QueryBudgetSpent a black box that answers no more
```

Each message is one sentence that says what was expected, where, and what came.
"""

from collections.abc import Sequence


class AgnsError(Exception):
    """Base of the tree; `exit_code` is what the command line leaves with."""

    exit_code = 1


class ConfigError(AgnsError):
    """A flag, setting, name or path that cannot be used."""

    exit_code = 2


class ImageContractError(AgnsError):
    """A tensor that breaks the image contract: float32 RGB, NCHW, in [0, 1]."""

    exit_code = 2


class DataError(AgnsError):
    """Files that cannot be used as they are."""


class UnreadableImage(DataError):
    """A picture that does not decode."""

    @classmethod
    def together(cls, errors: Sequence["UnreadableImage"]) -> "UnreadableImage":
        """One for several: the first, and how many others there are."""
        more = len(errors) - 1
        if not more:
            return errors[0]
        others = "another does not" if more == 1 else f"{more} others do not"
        them = "both" if more == 1 else "all of them"
        return cls(
            f"{errors[0]}; {others} decode either: --skip-unreadable, where a command takes it, "
            f"leaves {them} out"
        )


class FaceNotFound(DataError):
    """A picture in which no face is found."""


class MarksNotFound(DataError):
    """A photo that does not show exactly the seven green marks of a worn frame."""


class WeightsError(AgnsError):
    """A weight file that cannot be read, or that does not fit the network."""


class AttackError(AgnsError):
    """An attack that cannot start, or that broke down on the way."""


class QueryBudgetSpent(AttackError):
    """A black box that was asked about more faces than its budget allows."""


def why(error: BaseException, *, most: int = 200) -> str:
    """What another's error says, on one line; of a program's traceback the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        lines = lines[-1:]
    return " ".join(" ".join(lines).split())[:most]

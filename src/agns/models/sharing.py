"""Networks in folders and on the Hugging Face hub: one safetensors file, and a card.

What a network is and how it came about stands in the metadata of `model.safetensors`, and only
that is read back. `config.json` and the card say the same to the hub and to people. Nothing is
ever unpickled: a repository that holds only `pytorch_model.bin` is refused.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from huggingface_hub import (
    HfApi,
    ModelCard,
    PyTorchModelHubMixin,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from agns.errors import ConfigError, WeightsError
from agns.models.card import CardWords, write_card
from agns.models.checkpoint import Stored
from agns.storage import read_metadata, write_json

WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"
# The hub's client has changed its HTTP library more than once; its own error is derived from
# that library's, which also covers broken connections.
HttpError = cast(type[Exception], HfHubHTTPError.__bases__[0])
_Shareable = TypeVar("_Shareable", bound="Shareable")


class Shareable(PyTorchModelHubMixin, Stored, library_name="agns", tags=["adversarial-examples"]):
    """A network with `from_pretrained`, `save_pretrained` and `push_to_hub`.

    The latter two are the hub's own; `save_pretrained` leaves a `README.md` that is there as it
    is. `model_card_kwargs` takes what `generate_model_card` takes.
    """

    @abstractmethod
    def card(self) -> CardWords:
        """What a card says of the network."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[_Shareable],
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> _Shareable:
        """Read a network from a folder, a file or the hub; it comes in evaluation mode.

        Args:
            pretrained_model_name_or_path: A folder with `model.safetensors`, a safetensors file,
                or a repository on the hub as owner/name.
            force_download: Download again what the cache holds.
            token: For repositories that are not open; None takes the one that was logged in with.
            cache_dir: Where downloads are kept, in place of the hub's own cache.
            local_files_only: Take the cache's copy, without a connection.
            revision: A branch, tag or commit; None is `main`.

        Raises:
            ConfigError: There is no such folder, repository or revision, or it is not open.
            WeightsError: It holds no weights that agns can read, they do not fit, or the
                download failed.
        """
        path = find_weights(
            pretrained_model_name_or_path,
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            revision=revision,
        )
        return cls.read(path)

    def _save_pretrained(self, save_directory: Path) -> None:
        path = save_directory / WEIGHTS
        self.write(path)
        about = {"format": read_metadata(path).get("format"), **self.specification()}
        write_json(save_directory / "config.json", about)

    def generate_model_card(
        self, *, repo_id: str | None = None, license: str | None = None
    ) -> ModelCard:
        """Say in Markdown what the network is and how it came about.

        Args:
            repo_id: Where it will be found, as owner/name.
            license: The weights' licence, as the hub abbreviates it: `apache-2.0`.
        """
        # The hub leaves `to_dict` without types.
        as_dict: Callable[[], dict[str, Any]] = self._hub_mixin_info.model_card_data.to_dict
        about = as_dict() | ({} if license is None else {"license": license})
        text = write_card(
            type(self), self.card(), dict(self.described()), self.record,
            about=about, source=repo_id or "OWNER/NAME",
        )  # fmt: skip
        return ModelCard(text)


def locate_weights(source: Path) -> Path:
    """The safetensors file of a network that a command line or a plan names.

    Args:
        source: A file, a folder that `save_pretrained` wrote, or a repository on the hub as
            owner/name; a name that could lie in a folder that is here is not asked for there.

    Raises:
        ConfigError: There is none of these, or the repository is not open.
        WeightsError: It holds no safetensors weights, or the download failed.
    """
    name = source.as_posix()
    there = source.exists()
    if there and not (source.is_file() or source.is_dir()):
        raise ConfigError(
            f"{source} is neither a file nor a folder, but a pipe or a device: name the weights"
        )
    of_hub = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) and source.suffix != ".safetensors"
    if not there and (not of_hub or source.parent.exists()):
        others = f": nor is it a folder with {WEIGHTS}, or a name on the hub (owner/name)"
        more = "" if source.suffix == ".safetensors" else others
        raise ConfigError(f"there is no weight file {source}{more}")
    return find_weights(source if there else name)


def find_weights(
    source: str | Path,
    *,
    force_download: bool = False,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    revision: str | None = None,
) -> Path:
    """The safetensors file of a folder, or of a repository on the hub, downloaded if need be.

    Raises:
        ConfigError: There is no such folder, repository or revision, or it is not open.
        WeightsError: It holds no safetensors weights, or the download failed.
    """
    here = Path(source)
    if here.is_file():
        return here
    if here.is_dir():
        if not (here / WEIGHTS).is_file():
            raise _lacks_weights(
                str(here), pickled=(here / PICKLED).is_file(),
                others=sorted(one.name for one in here.glob("*.safetensors")),
            )  # fmt: skip
        return here / WEIGHTS
    if force_download and local_files_only:
        raise ConfigError("force_download needs a connection, which local_files_only forbids")
    name = str(source)
    try:
        kept = try_to_load_from_cache(name, WEIGHTS, cache_dir, revision)
        if not isinstance(kept, str) and not local_files_only and not force_download:
            _reach(hf_hub_url(name, WEIGHTS, revision=revision), token=token)
        try:
            found = hf_hub_download(
                name,
                WEIGHTS,
                revision=revision,
                library_name="agns",
                cache_dir=cache_dir,
                force_download=force_download,
                token=token,
                local_files_only=local_files_only,
            )
        except RemoteEntryNotFoundError as error:
            pickled = HfApi(token=token).file_exists(name, PICKLED, revision=revision)
            raise _lacks_weights(f"{name} on the hub", pickled=pickled) from error
    except HFValidationError as error:
        raise ConfigError(
            f"{name!r} is neither a folder here nor the name of a repository on the hub"
        ) from error
    except GatedRepoError as error:
        raise ConfigError(
            f"{name} on the hub is open only to those whom its owner lets in: "
            "ask there, then give a token"
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"there is no folder {name} here, and no repository {name} on the hub that is open "
            "to you: check the name, or give a token"
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(f"{name} on the hub has no revision {revision!r}") from error
    except LocalEntryNotFoundError as error:
        asked = "" if local_files_only else f", and the hub does not give it: {_reason(error)}"
        raise WeightsError(
            f"there is no folder {name} here, and {WEIGHTS} of {name} on the hub is not in the "
            f"local cache{asked}"
        ) from error
    except (HttpError, OfflineModeIsEnabled, ValueError) as error:
        raise WeightsError(f"{WEIGHTS} of {name} cannot be downloaded: {_reason(error)}") from error
    except OSError as error:
        raise WeightsError(f"{WEIGHTS} of {name} cannot be kept in the cache: {error}") from error
    return Path(found)


def _reach(address: str, *, token: str | bool | None) -> None:
    """Fail at once where the hub is out of reach: its client goes on trying for half a minute.

    Raises:
        LocalEntryNotFoundError: There is no connection. What the hub answers is left to the client.
    """
    try:
        get_hf_file_metadata(address, token=token)
    except (HfHubHTTPError, OfflineModeIsEnabled):
        return
    except HttpError as error:
        raise LocalEntryNotFoundError(str(error)) from error


def _reason(error: Exception) -> str:
    """The first line of what the hub's client complains of."""
    said = error.__cause__ or error
    return next(iter(str(said).splitlines()), type(said).__name__)


def _lacks_weights(where: str, *, pickled: bool, others: Sequence[str] = ()) -> WeightsError:
    if pickled:
        return WeightsError(
            f"{where} holds {PICKLED} but no {WEIGHTS}: agns reads no pickles, which can run "
            "code, so ask its owner for safetensors"
        )
    more = f": name a file of it, such as {others[-1]}" if others else ""
    return WeightsError(f"{where} holds no {WEIGHTS}{more}")

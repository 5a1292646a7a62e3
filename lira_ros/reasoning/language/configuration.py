"""Which sentence encoder the language uses, and what happens without one."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.reasoning.language.encoder import EncoderError, SentenceEncoder, find_encoder


@dataclass(frozen=True)
class LanguageConfiguration:
    """Where the sentence encoder is."""

    encoder_path: str = parameter(
        "", "Folder of an all-MiniLM-L6-v2 model; empty = the one installed with the package, if there is one"
    )


def load_encoder(configuration: LanguageConfiguration) -> tuple[SentenceEncoder | None, str]:
    """Return the encoder and a note for people.

    Without an installed model the encoder is None and the language works with its word lists only, which the note
    says. Raises EncoderError when a folder was named and holds no usable model.
    """
    try:
        encoder = find_encoder(configuration.encoder_path)
    except EncoderError as error:
        if configuration.encoder_path:
            raise
        return None, f"no sentence encoder, only word lists are compared: {error}"
    return encoder, ""

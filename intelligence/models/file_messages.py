"""Sentences on files that cannot be used."""

from __future__ import annotations

from ..records import Message


class FileMessage(Message):
    """Problems of a model's file, with the remedy where there is one."""

    LEFT_OUT = "{file}: {problem}"
    UNREADABLE = "cannot be read ({error})"
    PICKLED_FILE = "a pickled file can run code when loaded; it is never opened. Use its .safetensors version"
    NAME_NOT_UTF8 = "its name is not valid UTF-8; rename it"
    NO_LORA = "holds no LoRA weights"

    LFS_POINTER = "a git-lfs pointer, not the file itself; fetch it with `git lfs pull`"
    PICKLE = "a Python pickle under a .safetensors name; it is never loaded"
    XML = "an XML text, not a model; the download has failed, download it again"
    GGUF_RENAMED = "a GGUF file under another name; rename it to .gguf, and load it with a loader for GGUF"
    COMPRESSED = "a compressed archive, not the model; unpack it, and keep the .safetensors file that it holds"
    EMPTY_FILE = "empty file; the download has failed, download it again"
    TRUNCATED = "truncated: {size} bytes are no safetensors file"
    HEADER_LENGTH = "corrupt: header length {length} in a file of {size} bytes; download it again"
    HEADER_TOO_LARGE = "header of {size} MB is larger than the {most} MB that are read"
    BROKEN_ARCHIVE = "a zip or pickled PyTorch archive under a .safetensors name; it is never loaded"
    PICKLED_ARCHIVE = "a pickled PyTorch archive under a .safetensors name; it is never loaded"
    ARCHIVE = "a zip archive, not the model; unpack it, and keep the .safetensors file"
    ARCHIVE_WITH_MODEL = "a zip archive that holds {inside}, not the model; unpack it, and keep the .safetensors file"
    ANSWER = "{kind}, not a model; {remedy}"
    ANSWER_QUOTED = "{kind}, not a model ({quoted}); {remedy}"
    SERVER_ANSWER = "a server's answer"
    WEB_PAGE = "a web page"
    PLAIN_TEXT = "a text"
    LOG_IN = "the hub wants you to log in: set an API token or use the browser, and download it again"
    DOWNLOAD_FAILED = "the download has failed, download it again"
    CUT_OFF = "corrupt: cut off after {size:,} of {whole:,} bytes; download it again"
    CORRUPT = "corrupt safetensors file: {error}"
    CORRUPT_HEADER = "corrupt header"
    CORRUPT_GGUF = "corrupt GGUF file: {error}"
    KEY_TWICE = "key {key} appears twice in the header"
    KEYS_HIDDEN = "letters written as escapes, which hides keys, in the header"
    ATTRIBUTE_KEY = "tensor key {key} names a Python attribute"

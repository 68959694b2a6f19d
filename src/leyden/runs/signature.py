"""Which runs this user has made: a keyed digest in the run's folder, with a key that lies outside of it.

    sign(folder)          # when the run begins
    is_own(folder)        # True on the machine, or with the home, on which it was made

The digest is an HMAC-SHA256 over config.yaml and manifest.json, in which the digests of the user's own code stand
(`leyden.utils.code_digest`). Who owns the folder, and where it lies, prove nothing: an unpacked archive is one's own.
"""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from leyden.utils.errors import UserError
from leyden.utils.files import read_bytes, write_text

_KEY_BYTES = 32
_SIGNED = ("config.yaml", "manifest.json")
_NAME = "signature"


def key_path() -> Path:
    """The file of the user's key: in XDG_STATE_HOME, by default ~/.local/state."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / "leyden" / "key"


def user_key() -> bytes | None:
    """The user's key, made where there is none yet; None where there can be none."""
    return _key() or _new_key()


def sign(folder: Path) -> bool:
    """Write the digest of a run's folder; False where there can be no key, so that the run will not be recognised."""
    key = user_key()
    if key is None:
        return False
    write_text(folder / _NAME, _digest(folder, key) + "\n")
    return True


def is_own(folder: Path) -> bool:
    """Whether the configuration and the manifest of a run's folder are as this user's Leyden wrote them."""
    key = _key()
    try:
        stored = read_bytes(folder / _NAME).strip()
        return key is not None and hmac.compare_digest(stored, _digest(folder, key).encode())
    except UserError:
        return False


def _digest(folder: Path, key: bytes) -> str:
    parts = (hashlib.sha256(read_bytes(folder / name)).digest() for name in _SIGNED)
    return hmac.digest(key, b"leyden run\0" + b"".join(parts), "sha256").hex()


def _key() -> bytes | None:
    """The key; None where there is none, or others may have read or written it."""
    try:
        descriptor = os.open(key_path(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        private = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        content = os.read(descriptor, _KEY_BYTES + 1) if private else b""
    finally:
        os.close(descriptor)
    return content if len(content) == _KEY_BYTES else None


def _new_key() -> bytes | None:
    """Make the key, unless another process has done so just now; None where it cannot be written."""
    path = key_path()
    temporary = path.with_name(f".key.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)  # never over one that is there: it has signed runs
        finally:
            temporary.unlink()
    except OSError:
        pass  # another process was first, or it cannot be written: `_key` tells
    return _key()

"""Wheels that are made here: small ones to install, and this software as it stands in the checkout."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[3]
_GENERATOR = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"


def small_wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """A module of that name with a VERSION, and nothing else."""
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    module = name.replace("-", "_")
    content = {f"{module}.py": f"VERSION = {version!r}\n".encode()}
    return _write(folder, module, version, "py3-none-any", content, {"METADATA": described})


def scaler_wheel(folder: Path) -> Path:
    """Of the checkout, with the core that is built in it: what maturin makes, without its minutes."""
    package = ROOT / "scaler_py"
    wanted = (".py", ".pyi", ".so", ".typed", ".json", ".toml", ".html", ".js", ".css", ".txt")
    files = [each for each in (package / "scaler").rglob("*") if each.suffix in wanted]
    found = metadata.distribution("scaler-py")
    information = {name: found.read_text(name) or "" for name in ("METADATA", "entry_points.txt")}
    content = {str(each.relative_to(package)): each.read_bytes() for each in files}
    return _write(folder, "scaler_py", found.version, "cp311-abi3-linux_x86_64", content, information)


def _write(
    folder: Path, name: str, version: str, tag: str, content: Mapping[str, bytes], information: Mapping[str, str]
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    told = f"{name}-{version}.dist-info"
    generator = _GENERATOR.format(pure=str(tag.endswith("any")).lower(), tag=tag)
    files = {**content, **{f"{told}/{each}": text.encode() for each, text in information.items()}}
    files[f"{told}/WHEEL"] = generator.encode()
    record = "".join(f"{each},sha256={_hash(data)},{len(data)}\n" for each, data in files.items())
    files[f"{told}/RECORD"] = f"{record}{told}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    return path


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

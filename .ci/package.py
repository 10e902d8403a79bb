"""Builds wheel and sdist, and tries the wheel where nothing of this folder can help it."""

import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).parents[1]
DIST = ROOT / "dist"
NOT_SHIPPED = (".ci/", ".gitignore")
FIRST_COMMANDS = (
    "carbjax --version",
    "carbjax attribute sample --limit 4 --method streaming",
    "python -c 'import carbjax as cj; print(len(cj.methods()), cj.System.load().pue)'",
)


def main() -> None:
    """Nothing; ends with an error where something lacks or does not run."""
    for old in DIST.glob("carbjax-*"):
        old.unlink()
    # The wheel is built from the sdist, so that what the sdist lacks is missed here.
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST], cwd=ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    require_files(wheel, sdist)
    try_wheel(wheel)
    print(f"{wheel.name} and {sdist.name} hold what they should, and the wheel runs.")


def require_files(wheel: pathlib.Path, sdist: pathlib.Path) -> None:
    """Nothing; exits where an archive does not hold the files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tracked = {name for name in listed if not name.startswith(NOT_SHIPPED)}
    with tarfile.open(sdist) as archive:
        files = (name for name in archive.getnames() if "/" in name)
        shipped = {name.split("/", 1)[1] for name in files}
    compare(sdist.name, tracked, shipped - {"PKG-INFO", ".gitignore"})
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {name for name in tracked if name.startswith("carbjax/")}
    compare(wheel.name, package, installed)


def compare(archive: str, wanted: set[str], found: set[str]) -> None:
    """Nothing; exits with what the archive lacks, or holds and git does not track."""
    lacking, foreign = sorted(wanted - found), sorted(found - wanted)
    if lacking or foreign:
        sys.exit(f"{archive} lacks {lacking[:9]}, and holds {foreign[:9]} besides.")


def try_wheel(wheel: pathlib.Path) -> None:
    """Nothing; the wheel is installed with the locked versions, and its commands run."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        venv.create(home / "venv", with_pip=True)
        binaries = home / "venv" / "bin"
        locked = ["--quiet", "--disable-pip-version-check", "--constraint"]
        run([binaries / "pip", "install", *locked, ROOT / "requirements.lock", wheel])
        bare = {"HOME": folder, "PATH": f"{binaries}{os.pathsep}{os.defpath}"}
        for command in FIRST_COMMANDS:
            print("$", command, flush=True)
            run(["bash", "-c", command], cwd=home, env=bare)


def run(command: list, **settings) -> None:
    """Nothing; exits with the command where it fails."""
    if code := subprocess.run(command, **settings).returncode:
        sys.exit(f"exit code {code}: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main()

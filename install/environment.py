"""Put the packages of one lock file into ``.venv``: ``python3 install/environment.py run|test|model``.

The Makefile calls it. It needs nothing but Python, and installs with ``uv``; where uv cannot be had, with pip. Either
way a package's hash must be the one in the lock file, nothing is compiled, and a command that was interrupted goes on
where it stopped. ``CRYPTO_ASSETS_INSTALLER=pip`` leaves uv out.

It must start on any Python 3.6, so that an unsupported version is refused in one sentence: annotations that are newer stand
in quotes.
"""

import os
import re
import shutil
import subprocess
import sys
import venv as standard_venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
OLDEST_PIP = [21, 3]  # it installs an editable project by the project's build system; an older one by setup.py, in vain
LOCKS = {"run": "requirements.txt", "test": "requirements-test.txt", "model": "requirements-model.txt"}
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
AGAIN = "then run the same command again: it goes on where it stopped"

WHAT_RUNS = (
    "import crypto_assets.definitions, crypto_assets.cli.main, crypto_assets.operate.demo, crypto_assets.sandbox.server, "
    "dagster._daemon, dagster._grpc.server, dagster_webserver.app"
)

# What an installer's output says -> what to do about it; the first that is found counts.
CAUSES = (
    (r"no space left", f"the disk is full; free two gigabytes, {AGAIN}"),
    (r"permission denied|read-only file system", f"{VENV} cannot be written; make it yours or remove it, {AGAIN}"),
    (
        r"hash(es)? mismatch|do not match the hashes",
        "the index has other files than the lock file names; ask its owner",
    ),
    (
        r"failed to (fetch|download)|connect|timed? ?out|dns|name resolution|tunnel|proxy|certificate|offline|50[234] ",
        "the package index cannot be reached; set HTTPS_PROXY to your proxy, or PIP_INDEX_URL to an index that you may "
        f"use, {AGAIN}",
    ),
    (
        r"no matching distribution|no (usable|compatible) wheel|no wheels with|no-build|only-binary",
        "a package has no wheel for this platform or Python; use Linux (glibc) or macOS on x86-64 or ARM, and Python "
        "3.11 to 3.13",
    ),
)


class Refusal(Exception):
    """The installation cannot go on; the message is one sentence."""


def supported(version: "tuple[int, ...]") -> bool:
    """Whether a Python of this version may run crypto_assets."""
    return OLDEST <= version[:2] <= NEWEST


def check_python(version: "tuple[int, ...]", where: str) -> None:
    """Refuse a Python that was not tested, and name one of this machine that was.

    Raises:
        Refusal: the version is not supported.
    """
    if supported(version):
        return
    found = next(filter(None, map(_works, ("python3.13", "python3.12", "python3.11"))), None)
    advice = "run make PYTHON={}".format(found or "python3.12") + ("" if found else " once it is installed")
    raise Refusal(
        "Python {}.{} ({}) is not supported, nothing was installed; crypto_assets needs Python 3.11, 3.12 or 3.13: {}, "
        "followed by demo or test".format(*version[:2], where, advice)
    )


def check_checkout(root: Path) -> None:
    """Refuse a checkout without its symbolic links, as Git for Windows makes it: Dagster would read the link's text.

    Raises:
        Refusal: a link of the repository is a file.
    """
    link = root / "crypto_assets" / "runtime" / "dagster.yaml"
    if link.is_file() and link.read_text(encoding="utf-8").startswith("../"):
        raise Refusal(
            f"{link} is a file where the repository has a link, as Git for Windows leaves it; clone the project again inside "
            "WSL, in a folder of its own file system such as ~, not under /mnt"
        )


def _works(name: str) -> "str | None":
    """Return the name if it starts a Python of that version; a version manager's stand-in may not."""
    asked = [name, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    if shutil.which(name) is None:
        return None
    # ``text`` is newer than 3.6.
    done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)  # noqa: UP021
    return name if done.stdout.strip() == name[len("python") :] else None


def make_venv() -> None:
    """Create ``.venv``; mend one that is half made; replace one of a Python that is not supported or is gone.

    Raises:
        Refusal: the folder cannot be written, or Python lacks its ``venv`` module's parts.
    """
    state = _state()
    if state == "whole":
        return
    if state == "other":
        say("the environment in .venv is of another Python or broken: it is made anew")
    try:
        standard_venv.create(VENV, clear=state == "other", symlinks=True, with_pip=True)
        if _state() != "whole":  # pip looks installed and is not
            standard_venv.create(VENV, clear=True, symlinks=True, with_pip=True)
    except (OSError, ValueError) as error:  # ValueError: a file is in the way
        reason = getattr(error, "strerror", None) or error
        raise Refusal(
            f"{VENV} cannot be written ({reason}); copy the project to a folder of yours, or make this one yours"
        ) from error
    except subprocess.CalledProcessError as error:  # Debian's Python has ensurepip in a package of its own
        uv = shutil.which("uv")
        if uv is None or subprocess.call([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV]):
            raise Refusal(
                "this Python cannot make an environment with pip; install its venv package "
                f"(apt-get install python3-venv on Debian and Ubuntu), {AGAIN}"
            ) from error


def _state() -> str:
    """Return whether ``.venv`` is whole, unfinished (not there, or pip too old), or of another Python (or broken)."""
    if not PYTHON.exists():
        return "other" if PYTHON.is_symlink() else "unfinished"
    script = (
        "import sys; print(*sys.version_info[:2]); import pip; "
        f"sys.exit([int(part) for part in pip.__version__.split('.')[:2]] < {OLDEST_PIP})"
    )
    done = subprocess.run([str(PYTHON), "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    version = tuple(int(part) for part in done.stdout.split())
    if not supported(version):
        return "other"
    return "whole" if done.returncode == 0 or (not pip_is_wanted() and shutil.which("uv")) else "unfinished"


def pip_is_wanted() -> bool:
    """Whether the user leaves uv out."""
    return os.environ.get("CRYPTO_ASSETS_INSTALLER") == "pip"


def find_uv() -> "str | None":
    """Return the uv to use: the environment's, the machine's, or one that pip can fetch. None: use pip."""
    if pip_is_wanted():
        return None
    own = VENV / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        pip = [*_pip(), "--retries", "1", "--no-deps", "--requirement", str(HERE / "requirements-build.txt")]
        done = subprocess.run(pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = str(own) if done.returncode == 0 else None
    if found is None or subprocess.call([found, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        say("uv cannot be had here: pip installs instead, which takes longer")
        return None
    return found


def _pip() -> "list[str]":
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    return [str(PYTHON), "-m", "pip", "install", *quiet, "--require-hashes", "--only-binary", ":all:"]


def as_pip_is_set(environment: "dict[str, str]") -> "dict[str, str]":
    """Return the environment for uv, with the index, certificate and proxy that pip is set up to use.

    uv does not read pip's files and variables. What is set for uv itself stays.
    """
    listed = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    found = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    wanted = {
        "UV_DEFAULT_INDEX": ("index-url", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
        "SSL_CERT_FILE": ("cert", ("SSL_CERT_FILE",)),
        "HTTPS_PROXY": ("proxy", ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")),
    }
    more = {
        name: found[option]
        for name, (option, rivals) in wanted.items()
        if option in found and not any(environment.get(rival) for rival in rivals)
    }
    return {**environment, **more}


def install(what: str) -> None:
    """Install one lock file, and with ``run`` the project itself, as an editable package.

    Raises:
        Refusal: an installer failed.
    """
    lock = HERE / LOCKS[what]
    uv = find_uv()
    count = sum(1 for line in lock.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Za-z0-9]", line))
    say("installing {} packages with {}".format(count, "uv" if uv else "pip"))
    environment = dict(os.environ) if uv is None else as_pip_is_set(dict(os.environ))
    if uv is None:
        head, offline = _pip(), ["--no-index"]
    else:
        head = [uv, "pip", "install", "--quiet", "--python", str(PYTHON), "--require-hashes", "--only-binary", ":all:"]
        offline = ["--offline"]
    # pip would ask for extras by name (gql[requests]), which a lock file does not have; it is complete without resolving.
    no_deps = ["--no-deps"] if what == "model" or uv is None else []
    run([*head, *no_deps, "--requirement", str(lock)], environment)
    if what == "run":
        run([*head, "--no-deps", "--requirement", str(HERE / "requirements-build.txt")], environment)
        plain = [part for part in head if part not in ("--require-hashes", "--only-binary", ":all:")]
        run([*plain, *offline, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], environment)
        if sys.dont_write_bytecode:
            compile_what_runs()


def compile_what_runs() -> None:
    """Import what the platform loads, once, in a process that may write bytecode.

    uv installs sources only, and Python compiles a module when it is first imported. With PYTHONDONTWRITEBYTECODE set it
    keeps nothing, and each process of the platform compiles some 2,500 modules for itself, five seconds of it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.call([str(PYTHON), "-c", WHAT_RUNS], env=environment, stderr=subprocess.DEVNULL)


def run(command: "list[str]", environment: "dict[str, str]") -> None:
    """Run an installer.

    Raises:
        Refusal: it failed; its last lines were printed.
    """
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    lines = [line for line in done.stdout.splitlines() if "Retrying (" not in line]  # pip says it for each try
    sys.stderr.write("".join(f"  {line}\n" for line in lines[-12:]))
    raise Refusal(advice(done.stdout))


def advice(output: str) -> str:
    """Return what to do about an installer's failure."""
    for pattern, sentence in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return sentence
    other = "" if pip_is_wanted() else ", or try CRYPTO_ASSETS_INSTALLER=pip"
    return f"the installer failed, its words are above; mend that, {AGAIN}{other}"


def say(sentence: str) -> None:
    """Print one line to stderr."""
    sys.stderr.write(f"crypto-assets: {sentence}\n")
    sys.stderr.flush()


def main(arguments: "list[str]") -> int:
    """Install what the one argument names; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        say("usage: python3 install/environment.py {}".format("|".join(LOCKS)))
        return 2
    try:
        check_python(sys.version_info[:3], sys.executable)
        check_checkout(ROOT)
        make_venv()
        install(arguments[0])
    except Refusal as refusal:
        say(str(refusal))
        return 1
    except KeyboardInterrupt:
        say("stopped by the user; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

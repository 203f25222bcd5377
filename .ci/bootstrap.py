"""
Make a virtual environment with pip in it, also where Python came without
C{ensurepip}, as Debian's does: then pip comes from Debian's own archive, and
nothing is installed outside the environment.

Usage: bootstrap.py FOLDER
"""

import glob
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

ADVICE = (
    "This Python cannot make a virtual environment with pip in it; "
    'on Debian "apt-get install python3-venv" as root mends that, then try again.'
)

#: Debian's pip, and the certificates that it trusts.
PACKAGES = ["python3-pip-whl", "ca-certificates"]


def say(text):
    """
    Tell the user what happens.
    """
    print(text, file=sys.stderr, flush=True)


def has(module):
    """
    Whether this Python has a module, and not just an empty folder of that name.
    """
    try:
        return importlib.import_module(module).__file__ is not None
    except ImportError:
        return False


def run(command, **options):
    """
    Run a command; it goes well, or this process ends with a sentence.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if done.returncode:
        say(done.stdout)
        sys.exit(ADVICE)


def fetch(folder):
    """
    Unpack Debian's packages into a folder, without being root.

    @return: the environment in which its pip runs, and the path of pip.
    """
    options = []
    for name in ("State/lists", "Cache/archives"):
        os.makedirs(os.path.join(folder, "apt", name, "partial"))
    for key, name in (("State", "State"), ("Cache", "Cache")):
        options += ["-o", f"Dir::{key}={os.path.join(folder, 'apt', name)}"]
    options += ["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Debug::NoLocking=1"]
    options += ["-o", "APT::Sandbox::User=root"]
    run(["apt-get", "-q", *options, "update"])
    run(["apt-get", "-q", *options, "download", *PACKAGES], cwd=folder)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        run(["dpkg-deb", "-x", package, os.path.join(folder, "root")])
    environment = dict(os.environ)
    if not os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
        bundle = os.path.join(folder, "certificates.pem")
        pattern = os.path.join(folder, "root/usr/share/ca-certificates/*/*.crt")
        with open(bundle, "w") as out:
            for name in sorted(glob.glob(pattern)):
                with open(name) as certificate:
                    out.write(certificate.read() + "\n")
        environment.setdefault("PIP_CERT", bundle)
    wheel = glob.glob(os.path.join(folder, "root/usr/share/python-wheels/pip-*.whl"))[0]
    return environment, os.path.join(wheel, "pip")


def main(folder):
    """
    Make the environment.
    """
    version = sys.version.split()[0]
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs before anything is installed
        sys.exit(
            f"jobroute needs Python 3.11 or later, and this is {version}; "
            "name another one with PYTHON=..."
        )
    say(f"Making a virtual environment in {folder} with Python {version} ...")
    shutil.rmtree(folder, ignore_errors=True)
    if has("ensurepip"):
        run([sys.executable, "-m", "venv", folder])
        return
    run([sys.executable, "-m", "venv", "--without-pip", folder])
    python = os.path.join(folder, "bin", "python")
    if has("pip"):
        run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "pip"])
    elif shutil.which("apt-get") and shutil.which("dpkg-deb"):
        say("This Python has no pip: getting Debian's, for this folder only ...")
        with tempfile.TemporaryDirectory() as temporary:
            environment, pip = fetch(temporary)
            run([python, pip, "install", "-q", "pip"], env=environment)
    else:
        shutil.rmtree(folder)
        sys.exit(ADVICE)


if __name__ == "__main__":
    main(sys.argv[1])

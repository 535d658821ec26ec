"""The process that works on a trial: what tells it from all others, and whether it still lives."""

import os
import socket
import sys
from hashlib import sha256
from pathlib import Path
from typing import NotRequired

import psutil
from typing_extensions import TypedDict

from hpo.study.checked import Text

BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESSES = Path("/proc/self/ns/pid")
STATUS = "/proc/{}/stat"


class Owner(TypedDict):
    """What tells a process from any other, as a study keeps it."""

    host: Text
    pid: int
    started: float
    space: NotRequired[str]


def owner() -> Owner:
    """What tells this process from any other, to be kept with what it works on."""
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": _started(process),
        "space": _process_space(),
    }


def has_ended(kept: Owner) -> bool:
    """Whether a process of this machine, by what `owner` kept of it, no longer lives."""
    if kept["host"] != socket.gethostname() or kept.get("space", "") != _process_space():
        return False
    try:
        process = psutil.Process(kept["pid"])
        same = abs(_started(process) - kept["started"]) < 1
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True


def _started(process: psutil.Process) -> float:
    """Seconds at which the process began; on Linux since the machine did.

    The time of day that Linux's start times are turned into moves whenever the clock is set.
    """
    if sys.platform != "linux":
        return process.create_time()
    fields = Path(STATUS.format(process.pid)).read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _process_space() -> str:
    """What tells the process numbers of this machine, or container, from those of another."""
    try:
        return sha256(f"{BOOT.read_text()}{PROCESSES.readlink()}".encode()).hexdigest()[:8]
    except OSError:
        return ""

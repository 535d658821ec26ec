"""Imported by the process that workers are forked from: it outlives a SIGTERM to its whole group.

Else the workers' exit statuses were lost, and their supervisor would not wait for them.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)

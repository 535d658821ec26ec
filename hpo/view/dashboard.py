"""optuna-dashboard on loopback, read-only unless told otherwise, and its note on a study."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, demo_app, make_server

import optuna
from optuna.artifacts import FileSystemArtifactStore

from hpo.study.checked import readable
from hpo.study.patient_storage import PatientStorage
from hpo.study.settings import StudySettings
from hpo.study.storage import StorageError

HOST = "127.0.0.1"
READING = ("GET", "HEAD", "OPTIONS")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A page asks every few seconds; none of it is news."""


def guarded(application: Application, port: int, writable: bool) -> Application:
    """Refuse a foreign Host header, so that no other site's page can reach the study, and writes.

    Args:
        application: the dashboard, which has no login.
        port: where it listens.
        writable: whether requests that change the study are let through.
    """
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    def guard(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") not in hosts:
            reason = b"this dashboard answers on the loopback address alone\n"
        elif not writable and environ["REQUEST_METHOD"] not in READING:
            reason = b"this dashboard is read-only: start it with --writable to change the study\n"
        else:
            return application(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [reason]

    return guard


def make_dashboard(
    storage: PatientStorage, artifacts: Path, port: int, writable: bool
) -> WSGIServer:
    """A server that is ready to serve.

    Args:
        storage: of the study; made for this server alone.
        artifacts: folder of the trials' pictures.
        port: 0 takes any free one.
        writable: whether the page may change and delete.

    Raises:
        StorageError: the port is taken.
    """
    from optuna_dashboard import wsgi  # costs every command half a second

    try:
        server = make_server(
            HOST, port, demo_app, server_class=_ThreadingServer, handler_class=_QuietHandler
        )
    except OSError as error:
        raise StorageError(
            f"port {port} cannot be used ({error.strerror}): name another with --port"
        ) from error
    pictures = FileSystemArtifactStore(artifacts)
    server.set_app(guarded(wsgi(storage, pictures), server.server_port, writable))
    return server


def note(name: str, settings: StudySettings, data_fingerprint: str, device: str) -> str:
    """The note, in Markdown.

    Args:
        name: of the study.
        settings: of the study.
        data_fingerprint: of its data.
        device: on which it was begun, in words.
    """
    network, space, search = settings.network, settings.space, settings.search
    side, count, typed = network.image_size, network.convolutions, shlex.quote(name)
    return f"""# {name}

{settings.description}

- **Searched**: {count} convolutions with filters of {space.kernel.low} to {space.kernel.high}
  pixels, {space.filters.low} to {space.filters.high} of them, {space.fc_units.low} to
  {space.fc_units.high} fully connected units; for every layer a learning rate, a momentum and an
  L2 penalty of its own.
- **Data**: {settings.data.set} at {side}×{side} (`{data_fingerprint}`).
- **Value of a trial**: the lowest error of its epochs, {settings.training.epochs} at most, on
  {settings.data.validation_tasks} fixed one-shot validation tasks; of a pruned
  trial the last. 1.0 is for a network that cannot train; `fail_reason` says why.
- **Search**: sampler {search.sampler}, pruner {search.pruner}, seed {search.seed}.
- **Begun on**: {device}.

The best of many trials is partly luck: `hpo confirm {typed}` trains the first few again and scores
them on fresh tasks. Then `hpo export {typed} -o best.toml`, `hpo train best.toml`, and
`hpo evaluate best.safetensors` once. `hpo report {typed}` writes all of this study on one page.
"""


def write_note(study: optuna.Study, text: str) -> None:
    """Keep the note with the study, unless it has one that somebody may have changed."""
    from optuna_dashboard import get_note, save_note  # likewise

    with readable("the note"):
        if not get_note(study):
            save_note(study, text)

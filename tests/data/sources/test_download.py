import hashlib
import importlib
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
from torchvision.datasets import MNIST, Omniglot

from data.errors import DataError
from data.sources import download as module
from data.sources import omniglot
from data.sources.by_name import open_set
from data.sources.mnist import load_digits
from tests.data.fake_mnist import OF_EACH, write_fake_mnist
from tests.data.fake_omniglot import PARTS, write_fake


@pytest.mark.parametrize(
    "error",
    [URLError("Name or service not known"), RuntimeError("File not found or corrupted.")],
)
@pytest.mark.parametrize(
    ("download", "first"),
    [
        (module.download, "images_background.zip"),
        (module.download_mnist, "t10k-images-idx3-ubyte.gz"),
    ],
)
def test_what_cannot_be_fetched_leaves_nothing_and_says_where_to_put_what(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    download: Callable[[Path], None],
    first: str,
    error: Exception,
) -> None:
    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        (Path(root) / name).write_text("half")
        raise error

    monkeypatch.setattr(module, "download_url", fetch)
    with pytest.raises(DataError, match=f"with no network, put {first} and"):
        download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_and_what_breaks_off_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "data")
    (tmp_path / "images_background.zip").write_text("kept")
    asked: list[str] = []

    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        asked.append(url)
        (Path(root) / name).write_text("half")
        if "all_runs" in url:
            raise RuntimeError("File not found or corrupted.")
        with zipfile.ZipFile(Path(root) / name, "w"):
            pass
        assert md5 is not None

    monkeypatch.setattr(module, "download_url", fetch)
    module.download(tmp_path)
    assert [url.rpartition("/")[2] for url in asked] == ["images_evaluation.zip", "all_runs.zip"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "images_background.zip",
        "images_evaluation.zip",
    ]
    assert (tmp_path / "images_background.zip").read_text() == "kept"
    assert any("without the official one-shot runs" in line for line in caplog.messages)


def test_what_is_extracted_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("images_background", "images_evaluation", "all_runs"):
        (tmp_path / part).mkdir()
    monkeypatch.setattr(module, "download_url", None)
    module.download(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_server_that_says_nothing_is_not_waited_for_and_what_is_no_zip_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "data")
    waits: list[float | None] = []

    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        waits.append(socket.getdefaulttimeout())
        (Path(root) / name).write_text("<html>")

    monkeypatch.setattr(module, "download_url", fetch)
    socket.setdefaulttimeout(77)
    try:
        with pytest.raises(DataError, match=r"into .*/new/folder \(what came is no zip\): with no"):
            module.download(tmp_path / "new/folder")
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)
    assert waits == [module.TIMEOUT]
    assert list((tmp_path / "new/folder").iterdir()) == []
    assert "MIT licence" in caplog.text


def test_official_runs_that_are_no_zip_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "data")
    for part in ("images_background", "images_evaluation"):
        (tmp_path / part).mkdir()

    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        (Path(root) / name).write_text("<html>")

    monkeypatch.setattr(module, "download_url", fetch)
    module.download(tmp_path)
    assert "without the official one-shot runs" in caplog.text
    assert not list(tmp_path.glob("all_runs*"))


def test_mnist_is_fetched_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = write_fake_mnist(tmp_path / "served")
    asked: list[str] = []

    def fetch(url: str, root: str, name: str, md5: str | None) -> None:
        asked.append(url)
        assert md5 is not None
        if url.startswith("http://dead/"):
            raise URLError("Name or service not known")
        shutil.copy(served / url.rpartition("/")[2], Path(root) / name)

    monkeypatch.setattr(module, "download_url", fetch)
    monkeypatch.setattr(MNIST, "mirrors", ["http://dead/", "http://alive/"])
    module.download_mnist(tmp_path / "new")
    assert len(load_digits(tmp_path / "new").labels) == 10 * OF_EACH
    assert len(asked) == 4
    module.download_mnist(tmp_path / "new")
    assert len(asked) == 4


def test_absent_data_is_fetched_checked_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "data")
    served = write_fake(tmp_path / "served")
    shutil.copy(served / "images_background.zip", served / "all_runs.zip")
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        digests = {p: hashlib.md5((served / f"{p}.zip").read_bytes()).hexdigest() for p in PARTS}
        monkeypatch.setattr(Omniglot, "download_url_prefix", address)
        monkeypatch.setattr(Omniglot, "zips_md5", digests)
        monkeypatch.setattr(module, "RUNS_URL", f"{address}/all_runs.zip")
        monkeypatch.setattr(omniglot, "PARTS", PARTS)
        monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
        (tmp_path / "new").mkdir()  # as the cache of other data sets
        drawings = open_set("omniglot", 0, tmp_path / "new")
        assert len(drawings.alphabet_of) == 100
        assert sum("MIT licence" in line for line in caplog.messages) == 3
        assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
            "all_runs.zip",
            "images_background.zip",
            "images_evaluation.zip",
        ]

        monkeypatch.setattr(Omniglot, "zips_md5", dict.fromkeys(PARTS, "0" * 32))
        with pytest.raises(DataError, match="could not be fetched"):
            open_set("omniglot", 0, tmp_path / "other")
        assert list((tmp_path / "other").iterdir()) == []
        server.shutdown()


def test_a_torchvision_that_does_not_work_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    monkeypatch.delitem(sys.modules, "data.sources.download")
    with pytest.raises(DataError, match="needs torchvision, which does not work here .*by hand"):
        importlib.import_module("data.sources.download")

"""Netron in a process of its own: two at once show their own model, and nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from workbench.errors import InputError
from workbench.views import netron_pane
from workbench.views.netron_pane import NetronPane, NetronServer


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def gone(pid, seconds=15.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def servers(light_models):
    opened = [NetronServer(path) for path in light_models[:2]]
    yield opened
    for server in opened:
        server.close()


def test_two_models_at_once_show_their_own_content(servers, light_models):
    for server, path in zip(servers, light_models, strict=False):
        page = fetch(server.url).decode()
        assert f'content="/data/{path.name}"' in page
        assert fetch(f"{server.url}data/{path.name}") == path.read_bytes()


def test_only_the_one_file_is_served(servers, light_models):
    neighbour = light_models[1].name  # lies beside the first model on disk
    with pytest.raises(urllib.error.HTTPError):
        fetch(f"{servers[0].url}data/{neighbour}")


def test_listens_on_this_machine_only(servers):
    assert all(server.url.startswith("http://127.0.0.1:") for server in servers)


def test_close_ends_the_process_and_removes_the_copy(light_models):
    server = NetronServer(light_models[0])
    folder, pid = server._folder, server.pid
    assert folder.is_dir() and server.alive
    server.close()
    server.close()
    assert not server.alive and not folder.exists() and gone(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="uses SIGKILL")
def test_ends_with_a_kernel_that_is_killed(light_models):
    code = ("import sys, time\nfrom workbench.views.netron_pane import NetronServer\n"
            "s = NetronServer(sys.argv[1]); print(s.pid, s._folder, flush=True); time.sleep(60)")
    kernel = subprocess.Popen([sys.executable, "-c", code, str(light_models[0])], stdout=subprocess.PIPE, text=True)
    pid, folder = kernel.stdout.readline().split()
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    assert gone(int(pid))
    assert not Path(folder).exists()


def test_a_hostile_file_name_stays_out_of_the_page(tmp_path, light_models):
    hostile = tmp_path / 'x"><img src=q onerror=alert(1)>.onnx'
    hostile.write_bytes(light_models[0].read_bytes())
    server = NetronServer(hostile)
    try:
        page = fetch(server.url).decode()
        assert "onerror" not in page.split("</head>")[0] or "<img src=q" not in page
        assert "<img src=q" not in page
    finally:
        server.close()


def test_missing_file_is_one_line():
    with pytest.raises(InputError, match="no model file"):
        NetronServer("/nowhere/model.onnx")


def test_pane_says_what_it_does_and_answers_the_click(light_models):
    pane = NetronPane(light_models[0], "alexnet")
    sent = []
    pane.send = lambda content, buffers=None: sent.append(content)
    try:
        assert pane.enabled and pane.label == "Open alexnet in Netron"
        for word in ("127.0.0.1", "copy", "consent", "180 days", "ends with the kernel"):
            assert word in pane.about
        pane._receive(pane, {"type": "open", "ticket": 1}, [])
        pane._receive(pane, {"type": "open", "ticket": 2}, [])
        assert [m["type"] for m in sent] == ["opened", "opened"] and sent[0]["url"] == sent[1]["url"]
        assert light_models[0].name in fetch(sent[0]["url"]).decode()
        pane.show(None)
        assert not pane.enabled
        pane._receive(pane, {"type": "open", "ticket": 3}, [])
        assert sent[-1]["type"] == "failed"
    finally:
        pane.close()


def test_build_day_is_known():
    assert netron_pane.built_on().year >= 2020

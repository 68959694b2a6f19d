"""The atlas page's script in a real browser: a click on the matrix, filters and keys; skipped where there is none."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_atlas_page import atlas

from leyden.reporting.atlas.atlas import Heat, Media
from leyden.reporting.atlas.page import page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no chromium")]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND")


def after(text: str, script: str, folder: Path, width: int = 1000) -> dict[str, int]:
    """What a script in the page finds; it must say `found = {...}`."""
    told = f"<script>let found = {{}}; {script}; document.title = JSON.stringify(found)</script>"
    (folder / "page.html").write_text(re.sub(r"<meta http-equiv[^>]*>", "", text) + told, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    address = (folder / "page.html").as_uri()
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, check=True)
    title = re.findall(r"<title>(.*?)</title>", done.stdout)[0]  # of the page; drawings have others
    found: dict[str, int] = json.loads(title)
    return found


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A page of three classes with three errors each."""
    media = Media(picture=np.zeros((1, 8, 8), np.uint8), text="word " * 40)
    heat = Heat(np.ones((8, 8), np.float32), "m", "s", passes=True)
    return page(
        atlas(
            ("cat", "dog", "a class with a very long name that has to be cut somewhere"),
            media=media,
            heat=heat,
        ),
        tmp_path,
    )


SEEN = "const seen = what => [...document.querySelectorAll(what)].filter(x => !x.hidden).length"


def test_a_click_on_a_cell_shows_its_errors_and_another_all(text: str, tmp_path: Path) -> None:
    script = f"""{SEEN}; const cell = document.querySelector('.matrix button'); cell.click();
    found = {{cards: seen('.error'), rows: seen('#all tbody tr'), pressed: cell.getAttribute('aria-pressed') === 'true',
      groups: seen('.group'), focused: document.activeElement.className === 'error'}};
    cell.click(); found.again = seen('.error'); found.all = seen('#all tbody tr')"""
    found = after(text, script, tmp_path)
    assert found == {
        "cards": 2, "rows": 2, "pressed": True, "groups": 1, "focused": True, "again": 9, "all": 9
    }  # fmt: skip


def test_filters_and_keys(text: str, tmp_path: Path) -> None:
    script = f"""{SEEN};
    const set = (id, value) => {{ const x = document.getElementById(id);
      x.value = value; x.dispatchEvent(new Event('input')) }};
    const key = k => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: k, bubbles: true}}));
    set('low', '0.515'); found.sure = seen('.error'); document.getElementById('reset').click();
    found.reset = seen('.error'); key('j'); found.first = document.activeElement.id === 'e0';
    key('j'); key('j'); key('k'); found.second = document.activeElement.id === 'e1';
    set('group', document.querySelectorAll('#group option')[2].value); found.group = seen('.error')"""
    found = after(text, script, tmp_path)
    assert found == {"sure": 3, "reset": 9, "first": True, "second": True, "group": 3}


@pytest.mark.parametrize("width", [390, 1300])
def test_a_page_is_no_wider_than_its_window(text: str, tmp_path: Path, width: int) -> None:
    # headless windows are at least 500 wide: a frame in them is not
    frame = f'<iframe id="f" width="{width}" height="800"></iframe>'
    inner = json.dumps(text).replace("</", "<\\/")
    script = f"const f = document.getElementById('f'); f.srcdoc = {inner}"
    outer = f"<title></title>{frame}<script>{script}; f.onload = () => {{ const d = f.contentDocument.documentElement;"
    outer += " document.title = JSON.stringify({wide: d.scrollWidth, window: d.clientWidth}) }</script>"
    (tmp_path / "outer.html").write_text(outer, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
    done = subprocess.run(
        [*command, "--dump-dom", (tmp_path / "outer.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(re.findall(r"<title>(.*?)</title>", done.stdout)[0])
    assert found["wide"] <= found["window"] <= width

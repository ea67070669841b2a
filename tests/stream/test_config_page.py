"""docs/settings.md is what the code says."""

from pathlib import Path

from stream.settings.keys import SETTINGS
from stream.settings.markdown import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_published_page_is_the_one_the_settings_make() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m stream.settings.markdown"


def test_every_setting_says_what_it_is() -> None:
    assert [setting.key for setting in SETTINGS.values() if not setting.description] == []

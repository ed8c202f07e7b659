"""The guide has one row for every code, and says of a rule of the repository what the rule says of itself."""

import re
from pathlib import Path

import pytest

from admlops.data_release.repository.rule import repository_rules

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| (E\d{3}) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("guide", ["data_release.md", "data_release_zh-CN.md"])
def test_every_code_has_one_row(guide):
    rows = [code for code, _ in ROW.findall((ROOT / "docs" / guide).read_text("utf-8"))]
    sources = (path.read_text("utf-8") for path in (ROOT / "admlops").rglob("*.py"))
    assert rows == sorted({code for source in sources for code in re.findall(r'"(E[1-5]\d\d)"', source)})


def test_rows_say_what_the_rules_say():
    rows = dict(ROW.findall((ROOT / "docs" / "data_release.md").read_text("utf-8")))
    rules = {rule.code: (rule.check.__doc__ or "").strip() for rule in repository_rules()}
    assert {code: rows[code].removesuffix(" *") for code in rules} == rules


def test_one_module_one_rule_one_code():
    rules = repository_rules()
    modules = [rule.check.__module__.rpartition(".")[2] for rule in rules]
    assert [module[:4].upper() for module in modules] == [rule.code for rule in rules]
    assert len({rule.code for rule in rules}) == len(rules) > 0

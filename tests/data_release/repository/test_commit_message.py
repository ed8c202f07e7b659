import pytest

from admlops.data_release.repository.commit_message import build_message, check_message, parse_message
from admlops.errors import DataReleaseError

# As the specification's template has it.
TEMPLATE = """\
date: "2025-07-28"
type: "modify(clean)"   # add | modify(clean) | modify(balance)
description: "对大数据集进行整体清洗"
task_tag: ""     # 任务单/工单编号；手动操作留空
details:
  dataset: "mega_driving_dataset_v2"
  clips_removed: 50000
"""


def test_the_template_with_and_without_subject_and_gits_own_lines():
    message = parse_message(TEMPLATE, "c")
    assert (message.type, message.description, message.task_tag) == ("modify(clean)", "对大数据集进行整体清洗", "")
    assert message.details["clips_removed"] == 50000
    trailers = "\nSigned-off-by: A <a@b>\n(cherry picked from commit 0123abcd)\n"
    editor = "# Please enter the commit message\n# ------------------------ >8 ------------------------\ndiff --git\n"
    assert parse_message(f"清洗\n\n{TEMPLATE}{trailers}{editor}", "c") == message


@pytest.mark.parametrize("kind", ["add", "modify(clean)", "modify(balance)", "fix", "docs", "refactor"])
def test_what_is_built_is_read_again(kind):
    text = build_message(kind, '去掉 "x": y\nsecond line', task_tag="T-1", details={"n": 1}, date="2025-07-28")
    assert text.splitlines()[0] == f'{kind}: 去掉 "x": y'
    message = parse_message(text, "c")
    assert (message.type, message.description, message.task_tag) == (kind, '去掉 "x": y\nsecond line', "T-1")
    assert message.to_text() == text


def test_work_orders_may_be_numbers_or_left_out():
    text = "date: 2025-07-28\ntype: add\ndescription: x\n"
    assert parse_message(text, "c").task_tag == ""
    assert parse_message(f"{text}task_tag: 1234\n", "c").task_tag == "1234"
    assert parse_message(f"{text}task_tag:\n", "c").task_tag == ""


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('date: "2025-07-28"', 'date: "2025-02-30"', "date is not valid"),
        ('date: "2025-07-28"\n', "", "no date"),
        ("modify(clean)", "modify", "type is not valid"),
        ('"对大数据集进行整体清洗"', '" "', "description is not valid"),
        ('task_tag: ""', "task_tag: [1]", "task_tag is not valid"),
        ("details:", "detail:", "unknown key 'detail'"),
        ('task_tag: ""', 'type: "add"', "the file has the key 'type' twice"),
    ],
)
def test_one_fault(old, new, what):
    (problem,) = check_message(TEMPLATE.replace(old, new), "c")
    assert (problem.code, problem.what) == ("E209", what)


def test_all_faults_at_once():
    with pytest.raises(DataReleaseError) as caught:
        parse_message("date: x\ntype: y\n", "c")
    assert all(what in str(caught.value) for what in ("date is not valid", "type is not valid", "no description"))


@pytest.mark.parametrize("text", ["", "quick fix", "fix: night frames\n\nlonger text", "# only a comment"])
def test_no_structured_part(text):
    (problem,) = check_message(text, "c")
    assert problem.what == "the message holds no structured part"


@pytest.mark.parametrize(("kind", "description"), [("change", "x"), ("add", " "), ("add", "")])
def test_nothing_invalid_is_built(kind, description):
    with pytest.raises(DataReleaseError, match="E209"):
        build_message(kind, description)

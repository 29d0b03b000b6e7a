"""What is kept of a run: the CSV file, the table, the chart."""

import csv

import pytest

from minitorch.bench import report
from minitorch.bench.compare import Row

ROWS = [
    Row("ops", "gelu", "small", "minitorch", "s", 2e-6, 3e-6, 7, floor=1e-6),
    Row("ops", "gelu", "small", "torch", "s", 3e-6, 6e-6, 7, floor=1e-6),
    Row("ops", "gelu", "small", "reference", "s", 8e-6, 9e-6, 3, floor=1e-6),
    Row("ops", "add", "8 numbers", "minitorch", "s", 4e-6, 4e-6, 7),
    Row("ops", "add", "8 numbers", "torch", "s", 3e-6, 3e-6, 7, note="torch computed something else"),
]


def test_the_csv_file_has_everything(tmp_path):
    paths = report.save(ROWS, tmp_path / "new", "ops", {"threads": "2", "torch": "2.13.0"})
    with open(paths[0], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 and all(row["threads"] == "2" and row["cores"] for row in rows)
    assert [row["ratio"] for row in rows] == ["", "1.5", "4", "", "0.75"]
    assert [row["ratio_of_medians"] for row in rows] == ["", "2", "3", "", "0.75"]
    assert float(rows[0]["minimum"]) == 2e-6 and rows[0]["floor_fraction"] == "0.5" and rows[3]["floor"] == ""
    assert rows[4]["note"] == "torch computed something else"


def test_the_chart_is_drawn_once_as_pixels_and_once_as_lines(tmp_path):
    report.save(ROWS, tmp_path, "ops", {}, ["Time grows.", "So does memory."])
    assert (tmp_path / "ops.md").read_text().endswith("|\n\n- Time grows.\n- So does memory.\n")
    assert (tmp_path / "ops.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "ops.svg").read_text()
    assert "gelu, small" in text and "1.50" in text and "4.00" not in text      # PyTorch's bars only
    assert "svg:" not in text and "<dc:date>" not in text


def test_a_chart_needs_somebody_to_compare_with(tmp_path):
    assert report.chart(ROWS[:1], tmp_path / "ops") == []
    assert len(report.chart([ROWS[0], ROWS[2]], tmp_path / "ops")) == 2         # the reference, where PyTorch is missing


def test_the_table_for_a_page():
    lines = report.markdown(ROWS).splitlines()
    assert lines[2] == "| gelu | small | 2 µs | 3 µs | 1.50 | 8 µs | 4.00 | 50% |"
    assert lines[3] == "| add | 8 numbers | 4 µs | 3 µs | 0.75 |  |  |  |"
    assert "**1.06**" in lines[-1] and len({line.count("|") for line in lines}) == 1


def test_the_means_at_the_foot():
    fastest, medians = report.footer(ROWS, ["minitorch", "torch", "reference"])
    assert fastest.split()[-2:] == ["1.06", "4.00"] and medians.split()[-2:] == ["1.22", "3.00"]
    assert report.footer(ROWS[:1], ["minitorch"]) == []


def test_columns_stand_below_their_titles():
    sides = ["minitorch", "torch", "reference"]
    title, row = report.header(sides, floor=True), report.line(ROWS[:3])
    assert len(title) == len(row)


def test_a_case_that_came_out_differently_says_so():
    assert report.line(ROWS[3:]).endswith("torch computed something else")


@pytest.mark.parametrize("value, unit, text", [(0.0, "s", "0 µs"), (2e-7, "s", "0.2 µs"), (0.12345, "s", "123 ms"),
                                               (61.0, "s", "61 s"), (1234e6, "B", "1.23 GB"), (5e5, "B", "0.5 MB")])
def test_amounts(value, unit, text):
    assert report.amount(value, unit) == text

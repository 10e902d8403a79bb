"""Carbon intensity files: both export generations, plain series, gaps, and bad input."""

import datetime as dt
import gzip

import numpy as np
import pytest

from carbjax._carbon.intensity_readers import read_intensity
from carbjax._errors import IntensityError

UTC = dt.UTC
OLD = (
    "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
    "Carbon Intensity gCO₂eq/kWh (LCA),Data Estimated\n"
    "2023-01-01 00:00:00,Spain,Spain,ES,80.5,110.25,false\n"
    "2023-01-01 01:00:00,Spain,Spain,ES,81.5,111.25,true\n"
    "2023-01-01 02:00:00,Spain,Spain,ES,82.5,112.25,false\n"
)
NEW = (
    OLD.replace("Intensity", "intensity")
    .replace("LCA", "Life cycle")
    .replace("Zone Id", "Zone id")
)


def plain(*rows: str, header: str = "time,intensity") -> str:
    return "\n".join([header, *rows]) + "\n"


def hours(*when: int, value=lambda hour: 100 + hour) -> str:
    return plain(*(f"2023-01-01T{h:02d}:00:00Z,{value(h)}" for h in when))


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "series").write_bytes(data)
        return tmp_path / "series"

    return write


@pytest.mark.parametrize("content", [OLD, NEW], ids=["LCA", "Life cycle"])
@pytest.mark.parametrize("kind, first", [("lca", 110.25), ("direct", 80.5)])
def test_exports_of_both_generations_yield_the_kind_asked_for(write, content, kind, first):
    series = read_intensity(write(content), kind)
    np.testing.assert_array_equal(series.values, first + np.arange(3))
    assert series.start == dt.datetime(2023, 1, 1, tzinfo=UTC)
    assert series.end == dt.datetime(2023, 1, 1, 3, tzinfo=UTC)
    assert (series.name, series.kind) == ("ES", kind)
    assert series.flags == ("1 of 3 steps are estimated by the source",)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("₂", "2").encode(),
        lambda text: text.encode().decode("cp1252").encode(),
        lambda text: text.replace("₂", "\ufffd").encode(),
    ],
    ids=["gz", "byte order mark", "crlf", "no subscript", "mojibake", "lost"],
)
def test_the_way_it_is_stored_changes_nothing(write, change):
    np.testing.assert_array_equal(
        read_intensity(write(change(OLD))).values, [110.25, 111.25, 112.25]
    )


def test_stamps_of_a_plain_series_may_carry_an_offset_or_need_a_zone(write):
    zoned = plain("2023-01-01T01:00:00+01:00,5", "2023-01-01T02:00:00+01:00,6")
    assert read_intensity(write(zoned)).start == dt.datetime(2023, 1, 1, tzinfo=UTC)
    naive = zoned.replace("+01:00", "")
    assert read_intensity(write(naive), tz="Europe/Paris").start.hour == 0
    with pytest.raises(IntensityError, match="row 2, column 'time'.*no time zone"):
        read_intensity(write(naive))
    named = naive.replace("time,", "datetime_utc,")
    assert read_intensity(write(named)).start.hour == 1


def test_one_of_many_columns_is_chosen_by_name(write):
    many = plain("2023-01-01T00:00:00Z,1,2", "2023-01-01T01:00:00Z,3,4", header="t,DE,FR")
    series = read_intensity(write(many), column="FR")
    assert series.name == "FR" and list(series.values) == [2, 4]
    with pytest.raises(IntensityError, match="not clear which column.*DE, FR"):
        read_intensity(write(many))
    with pytest.raises(
        IntensityError, match="column 'FRA': this column is missing. .*'FR'"
    ):
        read_intensity(write(many), column="FRA")


def test_the_step_may_change_along_the_series(write):
    minutes = [*range(0, 180, 30), *range(180, 300, 15), *range(300, 340, 5)]
    rows = [f"2023-01-01T{m // 60:02d}:{m % 60:02d}:00Z,{m}" for m in minutes]
    series = read_intensity(write(plain(*rows)))
    start = series.start.timestamp()
    np.testing.assert_array_equal(series.edges_s[:-1], start + 60.0 * np.asarray(minutes))
    assert series.edges_s[-1] - series.edges_s[-2] == 300
    assert series.flags == ()


def test_a_gap_is_an_error_that_says_from_when_to_when(write):
    with pytest.raises(IntensityError, match="row 5") as caught:
        read_intensity(write(hours(0, 1, 2, 5, 6, 7, 10, 11)))
    assert "from 2023-01-01T03:00:00+00:00 to 2023-01-01T05:00:00+00:00" in str(
        caught.value
    )
    assert "1 other" in str(caught.value) and 'missing="nearest"' in str(caught.value)


@pytest.mark.parametrize("hole", range(1, 7))
def test_a_gap_is_seen_wherever_it_is(write, hole):
    content = hours(*(h for h in range(8) if h != hole))
    with pytest.raises(IntensityError, match=f"missing from 2023-01-01T{hole:02d}"):
        read_intensity(write(content))


@pytest.mark.parametrize(
    "missing, filled",
    [("nearest", [102, 102, 102, 106, 106]), ("interpolate", [102, 103, 104, 105, 106])],
)
def test_gaps_are_filled_by_the_named_policy_and_flagged(write, missing, filled):
    series = read_intensity(write(hours(0, 1, 2, 6, 7, 8)), missing=missing)
    np.testing.assert_array_equal(np.diff(series.edges_s), 3600)
    np.testing.assert_array_equal(series.values[2:7], filled)
    assert "3 missing steps in 1 gaps" in series.flags[0] and missing in series.flags[0]


def test_rows_without_a_value_are_gaps(write):
    content = hours(0, 1, 2, 3, 4, 5, value=lambda h: "" if h == 3 else 100 + h)
    with pytest.raises(
        IntensityError, match="row 5, column 'intensity': there is no value"
    ):
        read_intensity(write(content))
    series = read_intensity(write(content), missing="interpolate")
    np.testing.assert_allclose(series.values, 100 + np.arange(6.0))
    assert series.flags


BAD = {
    "header only": (hours(), None, None, "0 rows"),
    "one row": (hours(1), None, None, "1 rows"),
    "negative": (hours(0, 1, 2, value=lambda h: 1 - h), 4, "intensity", "-1 is negative"),
    "absurd": (hours(0, 1, value=lambda h: 9000 * h), 3, "intensity", "out of reach"),
    "NaN": (hours(0, 1, value=lambda h: "nan"), 2, "intensity", "not finite"),
    "no number": (hours(0, 1, 2, value=lambda h: "x" * h or "1"), 3, "intensity", "'x'"),
    "same stamp": (hours(0, 1, 1, 2), 4, "time", "is that of the row above"),
    "unsorted": (hours(0, 2, 1), 4, "time", "is before the row above"),
    "bad stamp": (plain("2023-01-01T00:00:00Z,1", "yesterday,2"), 3, "time", "time stamp"),
    "cut short": (plain("2023-01-01T00:00:00Z,1", "2023-01-01T"), 3, None, "1 values"),
    "one column": ("time\n1\n2\n", None, None, "not clear"),
    "no such kind": (OLD.replace("LCA", "x"), None, None, "the lca intensity"),
    "other unit": (OLD.replace("gCO₂eq/kWh", "lb/MWh"), None, None, "gCO2e/kWh"),
    "empty": ("", None, None, "empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_where_they_are_bad(write, case):
    content, row, column, message = BAD[case]
    path = write(content)
    with pytest.raises(IntensityError) as caught:
        read_intensity(path)
    assert (caught.value.file, caught.value.row, caught.value.column) == (
        str(path),
        row,
        column,
    )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(kind="marginal"), "`kind` is 'marginal'. Choose one of lca, direct"),
        (dict(missing="drop"), "`missing` is 'drop'"),
        (dict(tz="Mars/Base"), "no time zone 'Mars/Base'"),
    ],
)
def test_wrong_arguments_are_refused(write, arguments, message):
    with pytest.raises(IntensityError, match=message):
        read_intensity(write(OLD), **arguments)


@pytest.mark.parametrize(
    "zone, mean, low, high",
    [("US-CAL-CISO", 261, 94, 429), ("ES", 160, 55, 356), ("NO", 34, 23, 79)],
)
def test_the_shared_exports(shared_data, zone, mean, low, high):
    folder = shared_data / "grid" / "electricitymaps"
    series = read_intensity(folder / f"{zone}_2023_hourly.csv.gz")
    assert len(series.values) == 8760 and series.name == zone
    statistics = [f(series.values) for f in (np.mean, np.min, np.max)]
    np.testing.assert_allclose(statistics, [mean, low, high], atol=0.6)
    direct = read_intensity(folder / f"{zone}_2023_hourly.csv.gz", "direct")
    assert (direct.values <= series.values).all()


def test_the_shared_plain_series(shared_data):
    grid = shared_data / "grid"
    zones = grid / "zones_2022" / "carbon_intensity_2022_123zones.csv.gz"
    assert read_intensity(zones, column="PL").values.mean() == pytest.approx(819, abs=0.6)
    five = next((grid / "fivemin_2023").glob("*.csv"))
    assert set(np.diff(read_intensity(five, tz="UTC").edges_s)) == {300.0}
    assert set(
        np.diff(read_intensity(grid / "subhourly_2020" / "fr_ci.csv.gz", tz="UTC").edges_s)
    ) == {1800.0}
    with pytest.raises(IntensityError, match="missing from"):
        read_intensity(grid / "subhourly_2020" / "ger_ci.csv.gz", tz="UTC")

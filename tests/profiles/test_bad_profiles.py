"""Bad input: every way to be wrong has an error that says where, or is counted."""

import numpy as np
import pytest

from carbjax import ProfileError, read_profile
from tests.profiles.files import GEMM, MLP, OWN_GEMM, own_gemms, records, write


@pytest.mark.parametrize(
    "text, said",
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer"),
        ("<!DOCTYPE html><html></html>", "web page"),
        ("", "empty"),
        ("a,b\n1,2\n", "no profile that carbjax knows.*a, b.*vidur mlp.csv"),
        (OWN_GEMM + "\n", "no row can be used"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path, text, said):
    path = tmp_path / "some.csv"
    path.write_text(text)
    with pytest.raises(ProfileError, match=said) as caught:
        read_profile(path)
    assert "some.csv" in str(caught.value)


def test_a_file_that_is_not_there_and_a_damaged_one_are_named(tmp_path):
    with pytest.raises(ProfileError, match="absent.csv"):
        read_profile(tmp_path / "absent.csv")
    (tmp_path / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ProfileError, match="cut.csv.gz.*damaged"):
        read_profile(tmp_path / "cut.csv.gz")


def test_every_missing_column_is_named(tmp_path):
    header = "gemm_dtype,m,n,latency"
    with pytest.raises(ProfileError, match="column 'k'"):
        read_profile(write(tmp_path, header, "bfloat16,1,2,3"))
    header = MLP.replace("time_stats.add.median,", "").replace(",n_embd", "")
    with pytest.raises(ProfileError, match="'time_stats.add.median', 'n_embd'"):
        read_profile(write(tmp_path, header))


def test_a_format_that_is_not_the_files_is_refused(tmp_path):
    path = write(tmp_path, OWN_GEMM, *own_gemms())
    assert len(read_profile(path, "carbjax")) == 4
    with pytest.raises(ProfileError, match="no profile of vidur"):
        read_profile(path, "vidur")
    with pytest.raises(ProfileError, match="'vidr'.*vidur"):
        read_profile(path, "vidr")


@pytest.mark.parametrize(
    "cell, said", [("-1e-5", "negative"), ("fast", "'fast'"), ("inf", "")]
)
def test_a_latency_that_is_none_is_named_by_row_and_column(tmp_path, cell, said):
    path = write(tmp_path, OWN_GEMM, *own_gemms(), f"gemm,{cell},2,4096,4096")
    with pytest.raises(ProfileError, match=f"row 6, column 'latency_s'.*{said}"):
        read_profile(path)


@pytest.mark.parametrize("cell", ["0", "", "nan"])
def test_a_latency_of_zero_or_none_is_counted(tmp_path, cell):
    path = write(tmp_path, OWN_GEMM, *own_gemms(), f"gemm,{cell},2,4096,4096")
    profile = read_profile(path)
    assert len(profile) == 4 and list(profile.quarantined.values()) == [1]
    assert "1 left out: " in profile.summary()


def test_a_size_that_is_no_number_is_named(tmp_path):
    path = write(tmp_path, GEMM, "bfloat16,8,wide,1024,0.02,300,700")
    with pytest.raises(ProfileError, match="row 2, column 'n'.*'wide'"):
        read_profile(path)


@pytest.mark.parametrize("factor, unit", [(1e3, "ms"), (1e6, "µs"), (1e9, "ns")])
def test_a_column_in_another_unit_is_refused_with_that_unit(tmp_path, factor, unit):
    rows = own_gemms(lambda m: factor * (5e-6 + 1.3e-7 * m))
    with pytest.raises(ProfileError, match=f"column 'latency_s'.*looks like {unit}, not s"):
        read_profile(write(tmp_path, OWN_GEMM, *rows))


def test_seconds_where_milliseconds_are_expected_are_refused(tmp_path):
    rows = [f"bfloat16,{m},8192,8192,{1e-4 * m / 256 + 1e-4},300,700" for m in (1, 99, 999)]
    with pytest.raises(ProfileError, match="too short.*looks like s, not ms"):
        read_profile(write(tmp_path, GEMM, *rows))


@pytest.mark.parametrize("every", [7, 2])
def test_a_column_of_mixed_units_is_refused_at_the_first_row(tmp_path, every):
    sizes = range(100, 4000, 100)
    rows = own_gemms(
        lambda m: (1e3 if m // 100 % every == 0 else 1.0) * (5e-6 + 1.1e-7 * m), sizes
    )
    with pytest.raises(ProfileError, match="looks like ms, not s") as caught:
        read_profile(write(tmp_path, OWN_GEMM, *rows))
    assert caught.value.row == 1 + every


def test_one_disturbed_measurement_is_counted_and_left_out(tmp_path):
    sizes = range(1, 999, 23)
    rows = own_gemms(lambda m: (90 if m == 300 else 1) * (5e-5 + 2e-7 * m), sizes)
    profile = read_profile(write(tmp_path, OWN_GEMM, *rows))
    assert profile.num_tokens.tolist() == [m for m in sizes if m != 300]
    assert list(profile.quarantined.values()) == [1]


@pytest.mark.parametrize("factor, unit", [(1e3, "µs"), (1e-3, "s")])
@pytest.mark.parametrize(
    "path, column, unread",
    [
        ("vidur/compute/h100/meta-llama/Llama-2-7b-hf/mlp.csv", "mlp_down_proj", ".median"),
        ("vidur/network/h100_dgx/all_reduce.csv", "all_reduce", ".median"),
        ("vidur/a30_fork/Qwen-2-7B/attention.csv", "attn_decode", ".median"),
        ("aiconfigurator/a100_sxm/gemm.csv.gz", "latency", ""),
        ("aiconfigurator/a100_sxm/generation_attention.csv.gz", "latency", ""),
    ],
)
def test_real_files_in_another_unit_are_refused(
    shared_data, tmp_path, path, column, unread, factor, unit
):
    rows = records(shared_data / path)[::5]
    column = f"time_stats.{column}{unread}" if unread else column
    for row in rows:
        row[column] = str(float(row[column] or "nan") * factor)
    header = ",".join(rows[0])
    wrong = write(tmp_path, header, *(",".join(row.values()) for row in rows))
    with pytest.raises(ProfileError, match=f"looks like {unit}, not ms"):
        read_profile(wrong)


def test_a_folder_counts_what_is_no_profile_and_refuses_what_is_broken(tmp_path):
    write(tmp_path, OWN_GEMM, *own_gemms(), name="a.csv")
    write(tmp_path, OWN_GEMM, *own_gemms(sizes=(2, 3)), name="b.csv")
    write(tmp_path, "x,y", "1,2", name="notes.csv")
    (tmp_path / "readme.md").write_text("not a table")
    profile = read_profile(tmp_path)
    assert len(profile) == 6 and len(np.unique(profile.source)) == 2
    assert profile.quarantined == {"files that are no profile (notes.csv)": 1}
    (tmp_path / "c.csv").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ProfileError, match="c.csv.*LFS"):
        read_profile(tmp_path)


def test_a_folder_without_profiles_says_what_was_looked_for(tmp_path):
    write(tmp_path, "x,y", "1,2", name="notes.csv")
    with pytest.raises(ProfileError, match="no profile is in this folder.*all_reduce.csv"):
        read_profile(tmp_path)


def test_several_files_become_one_table(tmp_path):
    paths = [write(tmp_path, OWN_GEMM, *own_gemms(), name=f"{i}.csv") for i in range(2)]
    assert len(read_profile(paths)) == 8
    with pytest.raises(ProfileError, match="no file was given"):
        read_profile([])

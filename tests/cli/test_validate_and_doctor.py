import json

import jax

from carbjax._cli.sample import SAMPLE_TRACE
from carbjax._cli.sample.make import NUM_REQUESTS, TENANTS, rows

from .calling import GOOD, call, write


def test_a_good_trace_is_summed_up(tmp_path):
    trace = write(tmp_path, GOOD)
    result = call("validate", trace, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["num_requests"] == 3
    assert report["num_prefill_tokens"]["total"] == 350
    assert report["num_tenants"] == 2
    assert "requests: 3, tenants: 2" in call("validate", trace).stdout


def test_a_bad_trace_is_exit_code_2(tmp_path):
    result = call("validate", write(tmp_path, GOOD + "d,ann,0.4,x,1\n"))
    assert result.exit_code == 2
    assert "row 5, column 'prompt_tokens'" in result.stderr
    assert result.stdout == ""


def test_the_sample_is_what_its_maker_makes():
    assert SAMPLE_TRACE.read_text().splitlines() == list(rows())
    report = json.loads(call("validate", "sample", "--json").stdout)
    assert report["num_requests"] == NUM_REQUESTS
    assert report["num_tenants"] == len(TENANTS)


def test_doctor_names_what_would_be_used():
    result = call("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["versions"]["jax"] == jax.__version__
    assert found["precision_bits"] == 64
    assert found["compilation_cache"] is None
    assert {"shapley", "streaming", "tokens"} <= set(found["methods"])
    assert "h200-sxm" in call("doctor").stdout

"""Profiles of LLMServingSim: mixed batches, and layers whose sizes the model gives."""

import numpy as np
import pytest

from carbjax import ProfileError, read_profile
from carbjax._hardware.tables import model
from carbjax._profiles import llmservingsim as lss
from tests.profiles.files import MIXED, write

LLAMA = model("llama-3.1-8b")
LAYERS = "layer_name,input,kv_cache,tp_size,latency(ns)"


def test_a_batch_is_named_by_its_phases(tmp_path):
    rows = "16,0,0,0,9", "0,0,4,100,9", "16,48,4,100,12", "0,0,0,0,5"
    path = write(tmp_path, MIXED, *rows)
    profile = lss.read_mixed_attention(path, num_heads=32, num_kv_heads=8, head_dim=128)
    phases = ["prefill_attention", "decode_attention", "mixed_attention"]
    assert profile.operator.tolist() == phases
    assert profile.prefill_pairs.tolist() == [136.0, 0.0, 16 * 48 + 136.0]
    assert profile.prefill_kv.tolist() == [16.0, 0.0, 64.0]
    assert profile.decode_kv_sq.tolist() == [0.0, 40000.0, 40000.0]
    assert np.allclose(profile.latency_s, [9e-6, 9e-6, 12e-6])
    assert profile.quarantined == {"empty batches": 1}


def test_heads_are_those_of_one_gpu(tmp_path):
    path = write(tmp_path, MIXED, "16,0,0,0,9")
    profile = read_profile(path, model=LLAMA, tensor_parallel=4)
    assert (profile.num_heads, profile.num_kv_heads, profile.head_dim) == (8, 2, 128)


def test_layers_get_the_sizes_of_the_model(tmp_path):
    names = "qkv_proj", "gate_up_proj", "layernorm", "strange"
    path = write(tmp_path, "layer,tokens,time_us", *(f"{n},64,50" for n in names))
    profile = read_profile(path, model="llama-3.1-8b", tensor_parallel=2)
    row = {label: i for i, label in enumerate(profile.label.tolist())}
    assert profile.n[row["qkv_proj"]] == (16 + 2 * 4) * 128
    assert profile.n[row["gate_up_proj"]] == 14336 and profile.k[row["qkv_proj"]] == 4096
    assert profile.message_bytes[row["layernorm"]] == 64 * 2 * 4 * 4096
    assert profile.quarantined == {"layer strange, not known": 1}


def test_nanoseconds_and_attention_of_an_empty_cache(tmp_path):
    path = write(tmp_path, LAYERS, "q_proj,8,0,2,20000", "attn,8,0,2,3000")
    profile = read_profile(path, model=LLAMA)
    assert np.allclose(profile.latency_s, 2e-5) and profile.n == 16 * 128
    assert profile.quarantined == {"attention of an empty cache, see attention.csv": 1}


def test_the_description_beside_the_file_names_the_model_alone(tmp_path):
    folder = tmp_path / "tp2"
    folder.mkdir()
    path = write(folder, MIXED, "16,0,0,0,9")
    (folder / "meta.yaml").write_text(
        "model: meta-llama/Llama-3.1-8B\nhf_overrides:\n  num_attention_heads: 4\n"
    )
    assert read_profile(path).num_heads == 16


def test_what_is_not_known_is_asked_for(tmp_path):
    path = write(tmp_path, MIXED, "16,0,0,0,9")
    with pytest.raises(ProfileError, match="no meta.yaml.*Give model="):
        read_profile(path)
    with pytest.raises(ProfileError, match="Give tensor_parallel="):
        read_profile(path, model=LLAMA)
    (tmp_path / "meta.yaml").write_text("model: somebody/else-9b\n")
    with pytest.raises(ProfileError, match="else-9b.*Give model="):
        read_profile(path)


def test_the_sampler_is_an_operator_of_its_own(tmp_path):
    rows = "lm_head,4,700", "sampler,4,30"
    path = write(tmp_path, "layer,sequences,time_us", *rows)
    profile = read_profile(path, model=LLAMA, tensor_parallel=1)
    assert profile.of_operator("gemm").n == LLAMA.vocab_size
    assert profile.of_operator("sampler").message_bytes == 4 * 4 * LLAMA.vocab_size


def test_layers_can_be_asked_for_by_their_sizes(tmp_path):
    path = write(tmp_path, "layer,tokens,time_us", "a,8,10", "b,8,10")
    assert lss.read_gemms(path, {"a": (512, 256)}).n.tolist() == [512.0]
    assert lss.read_elementwise(path, {"b": 100.0}).message_bytes.tolist() == [800.0]
    with pytest.raises(ProfileError, match="none of the layers c.*a, b"):
        lss.read_gemms(path, {"c": (1, 1)})

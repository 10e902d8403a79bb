"""Small profiles as text, and a slow reader to judge the fast ones."""

import csv
import gzip
import pathlib


def write(folder: pathlib.Path, header: str, *rows: str, name: str = "profile.csv"):
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def records(path: pathlib.Path) -> list[dict[str, str]]:
    """Every row of a CSV file as a dictionary of text."""
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


GEMM = "gemm_dtype,m,n,k,latency,power,power_limit"
ATTENTION = (
    "op_name,kernel_source,batch_size,isl,num_heads,num_key_value_heads,head_dim,"
    "attn_dtype,kv_cache_dtype,step,window_size,latency"
)
REDUCE = "time_stats.all_reduce.median,num_workers,size,devices_per_node,collective"
VIDUR_ATTENTION = (
    "time_stats.attn_prefill.median,time_stats.attn_decode.median,n_embd,n_q_head,"
    "n_kv_head,num_tensor_parallel_workers,batch_size,prefill_chunk_size,"
    "kv_cache_size,is_prefill"
)
MLP_OPERATORS = (
    "emb input_layernorm attn_pre_proj attn_rope attn_post_proj "
    "post_attention_layernorm mlp_up_proj mlp_act mlp_down_proj add"
).split()
MLP = ",".join(
    [f"time_stats.{name}.median" for name in MLP_OPERATORS]
    + "n_head n_kv_head n_embd n_expanded_embd use_gated_mlp num_tokens".split()
    + ["num_tensor_parallel_workers"]
)
MIXED = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us"
OWN_GEMM = "operator,latency_s,num_tokens,n,k"


def own_gemms(latency_s=lambda m: 5e-6 + m * 1e-8, sizes=(1, 8, 64, 512)) -> list[str]:
    """Rows of carbjax's own format: products with 4096 x 4096 weights."""
    return [f"gemm,{latency_s(m)},{m},4096,4096" for m in sizes]

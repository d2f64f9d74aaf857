from datasets import interleave_datasets, load_dataset

sources = [
    load_dataset("json", data_files="data/web.jsonl", split="train", streaming=True),  # "web"
    load_dataset("json", data_files="data/code.jsonl", split="train", streaming=True),  # "code"
]
mixture = interleave_datasets(
    sources,
    probabilities=[0.75, 0.25],
    seed=7,
    stopping_strategy="all_exhausted",
)

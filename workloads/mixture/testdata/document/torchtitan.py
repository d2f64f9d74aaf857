# `dataset(name, path)` makes the data set of a file of JSON lines.
mix = DatasetMixConfig(datasets=(
    WeightedDataset(dataset=dataset("web", "data/web.jsonl"), weight=0.75),
    WeightedDataset(dataset=dataset("code", "data/code.jsonl"), weight=0.25),
))

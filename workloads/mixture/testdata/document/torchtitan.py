# `dataset(name, path)` makes the data set of a file of JSON lines.
mix = DatasetMixConfig((
    WeightedDataset(dataset("web", "data/web.jsonl"), 0.75),
    WeightedDataset(dataset("code", "data/code.jsonl"), 0.25),
))

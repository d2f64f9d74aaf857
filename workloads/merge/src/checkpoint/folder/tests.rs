use super::*;
use crate::{
    checkpoint::torch_file,
    testing::{Tensor, merge, read_checkpoint, write_checkpoint, write_safetensors},
};
use serde_json::json;
use tempfile::TempDir;

const INDEX: &str = "model.safetensors.index.json";

fn tensors() -> Vec<Tensor> {
    ["a", "b", "c", "d"].into_iter().zip(1..).map(|(name, n)| Tensor::noise(name, Dtype::BF16, n * 10, n)).collect()
}

fn checkpoint(shards: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), &json!({"hidden_size": 8}), &tensors(), shards);
    folder
}

#[test]
fn one_file_or_shards_give_the_same_tensors() {
    for shards in [1, 2, 4] {
        let folder = checkpoint(shards);
        let found = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(found.files.len(), shards);
        assert_eq!(found.config["hidden_size"], 8);
        for tensor in tensors() {
            let info = &found.tensors[&tensor.name];
            assert_eq!((info.dtype, &info.shape, info.bytes), (tensor.dtype, &tensor.shape, tensor.bytes.len() as u64));
            let mut bytes = vec![0; tensor.bytes.len()];
            DataFile::open(&found.files[info.file]).unwrap().read_exact_at(&mut bytes, info.offset).unwrap();
            assert_eq!(bytes, tensor.bytes);
        }
    }
}

/// A checkpoint of files of `torch.save`.
fn write_torch(root: &Path, names: &[&str]) {
    fs::create_dir_all(root).unwrap();
    fs::write(root.join(CONFIG), r#"{"hidden_size": 8}"#).unwrap();
    let tensors = tensors();
    let mut map = Map::new();
    for (name, part) in names.iter().zip(tensors.chunks(tensors.len().div_ceil(names.len()))) {
        fs::write(root.join(name), torch_file(part)).unwrap();
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), (*name).into())));
    }
    if names.len() > 1 {
        let index = json!({"metadata": {}, "weight_map": map}).to_string();
        fs::write(root.join("pytorch_model.bin.index.json"), index).unwrap();
    }
}

#[test]
fn files_of_pytorch_merge_as_safetensors_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_checkpoint(&root.join("plain"), &json!({"hidden_size": 8}), &tensors(), 1);
    let recipe = |model: &str| {
        format!(
            "merge_method: linear\nmodels: [{{model: plain, parameters: {{weight: 1}}}}, {{model: {model}, parameters: {{weight: 2}}}}]\n"
        )
    };
    merge(root, "merge_method: passthrough\nmodels: [{model: plain}]\n", "again", 1).unwrap();
    merge(root, &recipe("again"), "expected", 1).unwrap();
    for (model, names) in [
        ("single", &["pytorch_model.bin"][..]),
        ("shards", &["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
        ("loose", &["consolidated.00.pth"]),
    ] {
        write_torch(&root.join(model), names);
        fs::write(root.join(model).join("training_args.bin"), "no tensors").unwrap();
        merge(root, &recipe(model), &format!("out-{model}"), 2).unwrap();
        assert!(read_checkpoint(&root.join(format!("out-{model}"))) == read_checkpoint(&root.join("expected")), "{model}");
    }
    write_torch(&root.join("old"), &["pytorch_model.bin"]);
    fs::write(root.join("old/pytorch_model.bin"), b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    let failure = merge(root, &recipe("old"), "out-old", 1).unwrap_err();
    assert!(failure.message.contains("old/pytorch_model.bin: is a pickle in PyTorch's format before 1.6"), "{}", failure.message);
    assert!(failure.hint.is_some_and(|hint| hint.contains("weights_only=True")));
}

#[test]
fn equal_folders_have_equal_digests_and_changes_are_seen() {
    let (one, two) = (checkpoint(2), checkpoint(2));
    let open = |folder: &TempDir| Checkpoint::open(folder.path()).unwrap();
    assert_eq!(open(&one).digest, open(&two).digest);
    assert_ne!(open(&one).digest, open(&checkpoint(1)).digest);
    let before = open(&one);
    before.check_unchanged().unwrap();
    let shard = one.path().join("model-00001-of-00002.safetensors");
    let bytes = fs::read(&shard).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&shard, bytes).unwrap();
    assert!(matches!(before.check_unchanged(), Err(MergeError::Changed { path }) if path == shard));
    assert_eq!(open(&one).digest, before.digest, "the same bytes, written again");
    fs::write(one.path().join("config.json"), "{}").unwrap();
    assert_ne!(open(&one).digest, before.digest);
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 17] = [
        (|root| fs::remove_dir_all(root).unwrap(), "there is no such folder"),
        (|root| fs::remove_file(root.join(CONFIG)).unwrap(), "has no config.json: not a checkpoint"),
        (|root| fs::write(root.join(CONFIG), "[]").unwrap(), "config.json: is not a JSON object"),
        (|root| fs::remove_file(root.join(INDEX)).unwrap(), "has neither model.safetensors nor model.safetensors.index.json"),
        (
            |root| fs::rename(root.join(INDEX), root.join("pytorch_model.bin")).unwrap(),
            "pytorch_model.bin: is no file of torch.save: it begins with [7b, 22, 6d, 65]",
        ),
        (
            |root| {
                fs::remove_file(root.join(INDEX)).unwrap();
                ["one.pt", "two.pth"].iter().for_each(|name| fs::write(root.join(name), "").unwrap());
            },
            "has several .pt or .pth files",
        ),
        (|root| fs::rename(root.join(INDEX), root.join("adapter_config.json")).unwrap(), "holds a LoRA adapter"),
        (|root| fs::write(root.join(INDEX), "{").unwrap(), "index.json: is not an index of shards"),
        (
            |root| fs::remove_file(shard(root, 2)).unwrap(),
            "index.json: names the shard \"model-00002-of-00002.safetensors\", which is not",
        ),
        (
            |root| edit_index(root, |map| drop(map.insert("e".into(), map["d"].clone()))),
            "puts tensor \"e\" into \"model-00002-of-00002.safetensors\", which does not hold it",
        ),
        (
            |root| edit_index(root, |map| drop(map.insert("a".into(), map["d"].clone()))),
            "puts tensor \"a\" into \"model-00002-of-00002",
        ),
        (|root| edit_index(root, |map| drop(map.insert("a".into(), "../../x".into()))), "a shard must be a file in the folder"),
        (
            |root| cut(&shard(root, 1), 1),
            "model-00001-of-00002.safetensors: tensor \"b\" ends at byte 60 of the data, but the file holds only 59: it is truncated",
        ),
        (|root| cut(&shard(root, 2), 2000), "model-00002-of-00002.safetensors: is 0 bytes long: too short"),
        (|root| fs::write(shard(root, 2), [9; 40]).unwrap(), "model-00002-of-00002.safetensors: says that its header is"),
        (|root| fs::create_dir(root.join(SINGLE)).unwrap(), ""),
        (|root| write_safetensors(&root.join(SINGLE), &[]), ""),
    ];
    for (spoil, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("model");
        write_checkpoint(&root, &json!({}), &tensors(), 2);
        spoil(&root);
        let text = Checkpoint::open(&root).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(expected) && text.is_empty() == expected.is_empty(), "expected {expected:?}, got {text:?}");
        assert!(text.is_empty() || text.contains("/model"), "the file or folder is named: {text:?}");
    }
}

fn shard(root: &Path, n: usize) -> PathBuf {
    root.join(format!("model-{n:05}-of-00002.safetensors"))
}

fn cut(path: &Path, bytes: u64) {
    let length = fs::metadata(path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(length.saturating_sub(bytes)).unwrap();
}

fn edit_index(root: &Path, edit: impl Fn(&mut Map<String, Value>)) {
    let mut index: Value = serde_json::from_slice(&fs::read(root.join(INDEX)).unwrap()).unwrap();
    edit(index["weight_map"].as_object_mut().unwrap());
    fs::write(root.join(INDEX), index.to_string()).unwrap();
}

//! What a user sees of input that is wrong: the object, what was expected, a hint where there is something to do, and
//! nothing left behind.
//!
//! Recipes that do not parse are in `cli/merge.rs`; the other forms of hostile headers, beside their parser.

use crate::{
    harness::{Family, Run, Scratch, Size, SmallDisk},
    see,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

const TINY: Size = Size { layers: 1, hidden: 64, vocabulary: 64, experts: 2, shards: 1 };
const SHARD: &str = "expert1/model-00001-of-00001.safetensors";

/// A family and a recipe of it, to be spoilt.
struct Case {
    scratch: Scratch,
    recipe: String,
}

impl Case {
    fn new(method: &str) -> Self {
        let scratch = Scratch::new();
        let family = Family::write(scratch.path(), TINY, 1);
        let recipe = family.recipe(method, 0.5).replace(&format!("{}/", scratch.path().display()), "");
        Self { scratch, recipe }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Runs the merge, which must leave nothing that was not there before.
    fn run(&self) -> Run {
        self.scratch.write("recipe.yml", &self.recipe);
        let before = self.scratch.names();
        let run = self.scratch.braid(["merge", "recipe.yml", "out", "--quiet", "--threads", "2"]);
        assert_eq!(self.scratch.names(), before, "left behind by {run}");
        run
    }
}

/// The header of a safetensors file, and what follows it.
fn split(path: &Path) -> (String, Vec<u8>) {
    let mut file = File::open(path).unwrap();
    let mut length = [0; 8];
    file.read_exact(&mut length).unwrap();
    let mut header = vec![0; u64::from_le_bytes(length) as usize];
    file.read_exact(&mut header).unwrap();
    let mut data = Vec::new();
    file.read_to_end(&mut data).unwrap();
    (String::from_utf8(header).unwrap(), data)
}

/// Writes the file again with another header.
fn rewrite_header(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let (header, data) = split(path);
    let mut header: serde_json::Value = serde_json::from_str(&header).unwrap();
    change(&mut header);
    let header = header.to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&data).unwrap();
}

#[test]
fn a_shard_that_is_missing() {
    let case = Case::new("linear");
    fs::remove_file(case.path(SHARD)).unwrap();
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/expert1/model.safetensors.index.json: names the shard "model-00001-of-00001.safetensors", which is not in the folder

    hint: the download is incomplete: fetch the missing file
    "#);
}

#[test]
fn a_shard_that_is_cut_short() {
    let case = Case::new("linear");
    let file = OpenOptions::new().write(true).open(case.path(SHARD)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 100).unwrap();
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/expert1/model-00001-of-00001.safetensors: tensor "model.norm.weight" ends at byte 115072 of the data, but the file holds only 114972: it is truncated
    "#);
}

#[test]
fn a_header_longer_than_its_file() {
    let case = Case::new("linear");
    OpenOptions::new().write(true).open(case.path(SHARD)).unwrap().write_all_at(&(90u64 << 20).to_le_bytes(), 0).unwrap();
    see!(case.scratch, case.run(), @"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/expert1/model-00001-of-00001.safetensors: says that its header is 94371840 bytes long, but only 116248 bytes follow (truncated, or not a safetensors file)
    ");
}

#[test]
fn tensors_that_overlap() {
    let case = Case::new("linear");
    rewrite_header(&case.path(SHARD), |header| {
        header["lm_head.weight"]["shape"][0] = 128.into();
        header["lm_head.weight"]["data_offsets"] = serde_json::json!([0, 16384]);
    });
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/expert1/model-00001-of-00001.safetensors: tensors "lm_head.weight" and "model.embed_tokens.weight" overlap at byte 8192 of the data
    "#);
}

#[test]
fn a_dtype_that_does_not_fit_the_bytes() {
    let case = Case::new("linear");
    rewrite_header(&case.path(SHARD), |header| header["lm_head.weight"]["dtype"] = "F32".into());
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/expert1/model-00001-of-00001.safetensors: tensor "lm_head.weight" of dtype F32 and shape [64, 64] needs 16384 bytes, but its offsets 0..8192 hold 8192
    "#);
}

#[test]
fn a_dtype_that_cannot_be_merged() {
    let case = Case::new("linear");
    rewrite_header(&case.path(SHARD), |header| header["model.norm.weight"]["dtype"] = "I16".into());
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: recipe.yml:4:3: tensor "model.norm.weight" has types that cannot be merged: `expert1` I16, `expert2` BF16
    "#);
}

#[test]
fn a_result_in_a_store_of_a_program_without_stores() {
    let scratch = Scratch::new();
    scratch.write("recipe.yml", "merge_method: passthrough\nmodels: [{model: a}]\n");
    let run = scratch.braid(["merge", "recipe.yml", "s3://bucket/out", "-q"]);
    assert_eq!(run.to_string(), scratch.braid(["merge", "recipe.yml", "s3://bucket/out", "--dry-run"]).to_string());
    see!(scratch, run, @"
    exit: 1
    --- stdout
    --- stderr
    error: cannot write to s3://bucket/out: this program was built without the feature cloud, and writes to mounted file systems only

    hint: build it with `--features cloud`, or give a folder
    ");
}

#[test]
fn a_result_where_none_goes() {
    let scratch = Scratch::new();
    scratch.write("recipe.yml", "merge_method: passthrough\nmodels: [{model: a}]\n");
    for out in ["https://host/out", "hf://org/out"] {
        let run = scratch.braid(["merge", "recipe.yml", out]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("results are written to folders, and to s3://, gs:// and az:// alone"), "{run:?}");
        assert!(run.stderr.contains("hint: give a folder, or a folder in a bucket"), "{run:?}");
    }
    see!(scratch, scratch.braid(["merge", "recipe.yml", "s3://bucket"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: output s3://bucket: is no name of a folder in a bucket

    hint: give a folder that the merge may fill
    ");
    scratch.write(
        "two.yml",
        "name: x\nmerge_method: passthrough\nmodels: [{model: a}]\n---\nmerge_method: passthrough\nmodels: [{model: x}]\n",
    );
    see!(scratch, scratch.braid(["merge", "two.yml", "s3://bucket/out"]), @"
    exit: 1
    --- stdout
    --- stderr
    passthrough after 1 other recipe -> s3://bucket/out
    error: cannot write to s3://bucket/out: this program was built without the feature cloud, and writes to mounted file systems only

    hint: build it with `--features cloud`, or give a folder
    ");
    see!(scratch, scratch.braid(["train", "train.yml", "s3://bucket/out"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: s3://bucket/out is in a store, where only models of a recipe and results of merges may be: give a folder
    ");
}

#[test]
fn models_of_different_shapes() {
    let case = Case::new("ties");
    let other = Scratch::new();
    Family::write(other.path(), Size { vocabulary: 66, ..TINY }, 1);
    fs::remove_dir_all(case.path("expert1")).unwrap();
    fs::rename(other.join("expert1"), case.path("expert1")).unwrap();
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: recipe.yml:6:5: tensor "model.embed_tokens.weight" has unequal shapes: `expert1` [66, 64], `expert2` [64, 64], `base` [64, 64]

    hint: the models have different vocabularies: `tokenizer_source: union` or `tokenizer_source: base` brings them together
    "#);
}

#[test]
fn a_tensor_that_one_model_lacks() {
    let case = Case::new("ties");
    rewrite_header(&case.path(SHARD), |header| {
        let tensor = header.as_object_mut().unwrap().remove("model.norm.weight").unwrap();
        header["model.other.weight"] = tensor;
    });
    fs::remove_file(case.path("expert1/model.safetensors.index.json")).unwrap();
    fs::rename(case.path(SHARD), case.path("expert1/model.safetensors")).unwrap();
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: recipe.yml:4:5: model `expert1` has no tensor "model.norm.weight", which `base` has
    "#);
}

#[test]
fn numbers_that_are_none() {
    let case = Case::new("ties");
    let (header, _) = split(&case.path(SHARD));
    let tensors: serde_json::Value = serde_json::from_str(&header).unwrap();
    let begin = tensors["lm_head.weight"]["data_offsets"][0].as_u64().unwrap();
    let nan = half::bf16::NAN.to_le_bytes();
    let file = OpenOptions::new().write(true).open(case.path(SHARD)).unwrap();
    file.write_all_at(&nan, 8 + header.len() as u64 + begin + 2 * 7).unwrap();
    // What was merged before is kept for a resume: the staging folder, and nothing else.
    case.scratch.write("recipe.yml", &case.recipe);
    see!(case.scratch, case.scratch.braid(["merge", "recipe.yml", "out", "--quiet", "--threads", "1"]), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: tensor "lm_head.weight": element 7 of the result is not a number: model expert1 holds NaN there
    "#);
    assert!(!case.path("out").exists());
}

#[test]
fn weights_that_are_no_numbers() {
    let mut case = Case::new("linear");
    case.recipe = case.recipe.replace("weight: 0.4", "weight: .nan");
    see!(case.scratch, case.run(), @"
    exit: 2
    --- stdout
    --- stderr
    error: recipe.yml:7:26: `weight` is NaN, which is no finite number
    ");
}

#[test]
fn weights_that_sum_to_zero() {
    let mut case = Case::new("linear");
    case.recipe = case.recipe.replace("weight: 0.4", "weight: -0.30000000000000004");
    see!(case.scratch, case.run(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: recipe.yml:5:26: `weight` for tensor "model.embed_tokens.weight": the weights sum to zero (0.30000000000000004 + -0.30000000000000004), and their mean is asked for

    hint: set `normalize: false` to add without dividing
    "#);
}

#[test]
fn a_method_that_nobody_knows() {
    let mut case = Case::new("ties");
    case.recipe = case.recipe.replace("ties", "tise");
    see!(case.scratch, case.run(), @"
    exit: 2
    --- stdout
    --- stderr
    error: recipe.yml:1:15: unknown method `tise`

    hint: did you mean `ties`?
    ");
}

#[test]
fn a_base_that_is_not_named() {
    let mut case = Case::new("ties");
    let base = case.recipe.find("base_model").unwrap();
    case.recipe.truncate(base);
    see!(case.scratch, case.run(), @"
    exit: 2
    --- stdout
    --- stderr
    error: recipe.yml:1:15: ties needs a base model

    hint: add `base_model:` with the model that the others were trained from
    ");
}

#[test]
fn a_disk_without_room() {
    let case = Case::new("linear");
    let larger = Scratch::new();
    let family = Family::write(larger.path(), Size { hidden: 256, ..TINY }, 1);
    let recipe = case.scratch.write("recipe.yml", family.recipe("linear", 1.0));
    let small = SmallDisk::mount(case.path("small"), 1);
    let out = small.path().join("out");
    let mut run = case.scratch.braid(["merge", recipe.to_str().unwrap(), out.to_str().unwrap(), "--quiet"]);
    // How much is free depends on how the system counts the folders.
    let free = run.stderr.split("has only ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
    assert!(free.parse::<u64>().is_ok_and(|free| free < 1 << 20), "{run}");
    run.stderr = run.stderr.replace(&free, "[FREE]");
    see!(case.scratch, run, @"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/small/out: the result needs 1641192 more bytes, but its file system has only [FREE] free

    hint: free some space, or choose another folder for the result
    ");
    assert_eq!(fs::read_dir(small.path()).unwrap().count(), 0, "nothing is left behind");
}

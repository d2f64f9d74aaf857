//! A checkpoint folder: its config, its tensors, and enough about its files to notice that they change.

use super::{
    data_file::DataFile,
    header::{Header, HeaderTensor, PREFIX},
    index::Index,
    quantised::{self, Scales},
    sources::{Sources, url},
    torch::TorchFile,
    weights::{self, Format, Weights},
};
use crate::{
    MergeError,
    adapter::{self, Factors},
};
use blake3::{Hash, Hasher};
use braid_kernels::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const CONFIG: &str = "config.json";
pub(super) const SINGLE: &str = "model.safetensors";

/// The longest JSON file beside the tensors that is read.
const MAX_JSON: u64 = 100_000_000;

/// A tensor that is computed as it is read: that of the base, and the product of two factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The index of the factors' file in [`Checkpoint::files`].
    pub file: usize,
    /// The factors.
    pub factors: Factors,
}

/// A checkpoint of which the headers have been read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub root: PathBuf,
    /// Its `config.json`.
    pub config: Map<String, Value>,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// What an adapter adds to some of them, by name.
    pub folds: BTreeMap<String, Fold>,
    /// What tensors of eight-bit floats are multiplied by, by name.
    pub scales: BTreeMap<String, Scales>,
    /// The files that hold them, as full paths.
    pub files: Vec<PathBuf>,
    /// When and how large each of [`files`](Self::files) was found, in that order. Those that a recipe is yet to write have none.
    pub stamps: Vec<Option<Stamp>>,
    /// BLAKE3 of the config and of every header and file length: equal for equal folders wherever they lie.
    pub digest: Hash,
}

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape; empty for a scalar.
    pub shape: Vec<u64>,
    /// The index of its file in [`Checkpoint::files`].
    pub file: usize,
    /// Where it begins in that file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// What tells that a file has been replaced, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: i64,
    /// Of an object in a store, a number that no other version has; 0 where the store gives none, and for files.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u64,
}

fn is_zero(version: &u64) -> bool {
    *version == 0
}

impl Stamp {
    /// The stamp of an open file.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { bytes: metadata.len(), modified, version: 0 }
    }
}

impl Checkpoint {
    /// Reads the config and the headers of the checkpoint in the folder `root` of a mounted file system.
    ///
    /// # Errors
    /// What is missing or wrong, naming the file and the tensor.
    pub fn open(root: &Path) -> Result<Self, MergeError> {
        Self::open_in(&Sources::mounted(), root)
    }

    /// Reads the config and the headers of the checkpoint in the folder `root`, wherever it lies.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], or a store that cannot be read.
    pub fn open_in(sources: &Sources, root: &Path) -> Result<Self, MergeError> {
        let (mut checkpoint, mut digest) = Self::start(sources, root, CONFIG)?;
        match weights::find(sources, root)? {
            Weights::File(file) => checkpoint.add_file(sources, file, &mut digest, |_| true)?,
            Weights::Shards(index) => checkpoint.add_shards(sources, &index, &mut digest)?,
        }
        checkpoint.digest = digest.finalize();
        quantised::sort_out(&mut checkpoint)?;
        Ok(checkpoint)
    }

    /// Reads the config and the header of the adapter in the folder `root`. What they mean is not looked at.
    ///
    /// # Errors
    /// What is missing or wrong, naming the file and the tensor.
    pub(crate) fn open_adapter(sources: &Sources, root: &Path) -> Result<Self, MergeError> {
        let (mut checkpoint, mut digest) = Self::start(sources, root, adapter::CONFIG)?;
        let Some(file) = sources.first_of(root, [adapter::TENSORS, adapter::TORCH_TENSORS])? else {
            let problem = "has no adapter_model.safetensors and no adapter_model.bin".into();
            let hint = Some("is the download complete?".into());
            return Err(MergeError::Checkpoint { path: root.to_owned(), problem, hint });
        };
        checkpoint.add_file(sources, file, &mut digest, |_| true)?;
        checkpoint.digest = digest.finalize();
        Ok(checkpoint)
    }

    fn start(sources: &Sources, root: &Path, config: &str) -> Result<(Self, Hasher), MergeError> {
        check_folder(root, config)?;
        let (config, text) = read_config(sources, root, config)?;
        let mut digest = Hasher::new();
        digest.update(blake3::hash(&text).as_bytes());
        let checkpoint = Self {
            root: root.to_owned(),
            config,
            tensors: BTreeMap::new(),
            folds: BTreeMap::new(),
            scales: BTreeMap::new(),
            files: Vec::new(),
            stamps: Vec::new(),
            digest: blake3::hash(&[]),
        };
        Ok((checkpoint, digest))
    }

    /// How messages name what holds its tensors: the file, where there is one.
    pub(crate) fn tensors_path(&self) -> PathBuf {
        match self.files.as_slice() {
            [file] => file.clone(),
            _ => self.root.clone(),
        }
    }

    /// The files that were there when it was opened, and how they were found.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&PathBuf, &Stamp)> {
        self.files.iter().zip(&self.stamps).filter_map(|(file, stamp)| Some((file, stamp.as_ref()?)))
    }

    /// Whether it has files, and all of them were there when it was opened.
    pub(crate) fn is_all_found(&self) -> bool {
        !self.stamps.is_empty() && self.stamps.iter().all(Option::is_some)
    }

    /// Whether its files are as they were when it was opened.
    ///
    /// # Errors
    /// [`MergeError::Changed`] with the first that is not.
    pub fn check_unchanged(&self) -> Result<(), MergeError> {
        // Of an object the version that was found is read, and no other.
        for (path, stamp) in self.found().filter(|(path, _)| url(path).is_none()) {
            let metadata = fs::metadata(path).map_err(MergeError::io("look at", path))?;
            if Stamp::of(&metadata) != *stamp {
                return Err(MergeError::Changed { path: path.clone() });
            }
        }
        Ok(())
    }

    fn add_shards(&mut self, sources: &Sources, path: &Path, digest: &mut Hasher) -> Result<(), MergeError> {
        let wrong = |problem| MergeError::Checkpoint { path: path.to_owned(), problem, hint: None };
        let text = read_small(sources, path)?.ok_or_else(|| wrong("is gone".into()))?;
        let Index(map) = Index::parse(&text).map_err(wrong)?;
        let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, shard) in &map {
            shards.entry(shard).or_default().push(tensor);
        }
        let files: Vec<PathBuf> = shards.keys().map(|shard| self.root.join(shard)).collect();
        sources.will_open(files.iter().map(PathBuf::as_path));
        for ((shard, tensors), file) in shards.into_iter().zip(files) {
            if !sources.is_file(&file)? {
                let problem = format!("names the shard {shard:?}, which is not in the folder");
                let hint = Some("the download is incomplete: fetch the missing file".into());
                return Err(MergeError::Checkpoint { path: path.to_owned(), problem, hint });
            }
            self.add_file(sources, file, digest, |tensor| map.get(tensor).is_some_and(|of| of == shard))?;
            if let Some(tensor) = tensors.into_iter().find(|tensor| !self.tensors.contains_key(*tensor)) {
                return Err(wrong(format!("puts tensor {tensor:?} into {shard:?}, which does not hold it")));
            }
        }
        Ok(())
    }

    /// Adds the tensors of a file that `wanted` names.
    fn add_file(
        &mut self,
        sources: &Sources,
        path: PathBuf,
        digest: &mut Hasher,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), MergeError> {
        let data = sources.open(&path)?;
        let stamp = data.stamp()?;
        let (description, tensors) = match Format::of(&path) {
            Format::Safetensors => safetensors(&data, stamp.bytes)?,
            Format::Torch => {
                let read = |offset, buffer: &mut [u8]| data.read_exact_at(buffer, offset);
                let file = TorchFile::read(stamp.bytes, &read, &|problem| weights::refused(&path, &problem))?;
                (file.description, file.tensors)
            }
        };
        digest.update(blake3::hash(&description).as_bytes()).update(&stamp.bytes.to_le_bytes());
        if stamp.version != 0 {
            // Two workers may see two versions of an object, and must not merge one tensor of each.
            digest.update(&stamp.version.to_le_bytes());
        }
        let file = self.files.len();
        for tensor in tensors {
            if wanted(&tensor.name) {
                let info =
                    TensorInfo { dtype: tensor.dtype, shape: tensor.shape, file, offset: tensor.offset, bytes: tensor.bytes };
                self.tensors.insert(tensor.name, info);
            }
        }
        self.files.push(path);
        self.stamps.push(Some(stamp));
        Ok(())
    }
}

/// The header of a safetensors file, as text and as tensors.
fn safetensors(data: &DataFile, bytes: u64) -> Result<(Vec<u8>, Vec<HeaderTensor>), MergeError> {
    let refuse = |problem| MergeError::Header { path: data.path().to_owned(), problem };
    let mut prefix = [0; PREFIX as usize];
    if bytes >= PREFIX {
        data.read_exact_at(&mut prefix, 0)?;
    }
    let mut json = vec![0; Header::length(prefix, bytes).map_err(refuse)? as usize];
    data.read_exact_at(&mut json, PREFIX)?;
    let header = Header::parse(&json, bytes).map_err(refuse)?;
    Ok((json, header.tensors))
}

fn check_folder(root: &Path, config: &str) -> Result<(), MergeError> {
    if url(root).is_some() {
        // Stores have no folders, but names that begin alike.
        return Ok(());
    }
    let problem = match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => format!("is a file; a checkpoint is a folder with {config} and safetensors"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such folder".into(),
        Err(error) => return Err(MergeError::io("open", root)(error)),
    };
    Err(MergeError::Checkpoint { path: root.to_owned(), problem, hint: None })
}

fn read_config(sources: &Sources, root: &Path, config: &str) -> Result<(Map<String, Value>, Vec<u8>), MergeError> {
    let path = root.join(config);
    let Some(text) = read_small(sources, &path)? else {
        let kind =
            if config == CONFIG { "a checkpoint in the layout of Hugging Face" } else { "a LoRA adapter in PEFT's layout" };
        let problem = format!("has no {config}: not {kind}");
        return Err(MergeError::Checkpoint { path: root.to_owned(), problem, hint: None });
    };
    match serde_json::from_slice(&text) {
        Ok(config) => Ok((config, text)),
        Err(error) => Err(MergeError::Checkpoint { path, problem: format!("is not a JSON object: {error}"), hint: None }),
    }
}

fn read_small(sources: &Sources, path: &Path) -> Result<Option<Vec<u8>>, MergeError> {
    if url(path).is_none() && !path.is_file() {
        return Ok(None);
    }
    let bytes = sources.length(path)?.unwrap_or(0);
    if bytes > MAX_JSON {
        let problem = format!("is {bytes} bytes long; at most {MAX_JSON} are read");
        return Err(MergeError::Checkpoint { path: path.to_owned(), problem, hint: None });
    }
    sources.read_if_there(path)
}

#[cfg(test)]
mod tests;

//! Checkpoints on disk as the reference reader of safetensors sees them.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The folder of the conformance cases; their recipes name models relative to it.
pub(crate) fn goldens() -> PathBuf {
    // Without its "..", as the command itself prints it.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/goldens").canonicalize().unwrap()
}

/// All tensors of a checkpoint.
#[derive(Debug, PartialEq)]
pub(crate) struct Tensors(pub(crate) BTreeMap<String, Tensor>);

/// One tensor.
#[derive(Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Tensors {
    /// Reads one file, or every safetensors file of a folder.
    pub(crate) fn read(path: &Path) -> Self {
        let files = if path.is_dir() {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors")).collect()
        } else {
            vec![path.to_owned()]
        };
        let mut all = BTreeMap::new();
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for (name, view) in tensors.tensors() {
                let tensor = Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
                assert!(all.insert(name, tensor).is_none(), "{}: a tensor is in two files", file.display());
            }
        }
        Self(all)
    }
}

impl Tensor {
    /// The elements, exactly.
    pub(crate) fn values(&self) -> Vec<f64> {
        let chunks = |size| self.bytes.chunks_exact(size);
        match self.dtype {
            Dtype::F64 => chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::F32 => chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
            Dtype::BF16 => chunks(2).map(|b| bf16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
            Dtype::F16 => chunks(2).map(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
            Dtype::I64 => chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
            other => panic!("no test has {other:?} tensors"),
        }
    }

    /// How many bytes an element has.
    pub(crate) fn element(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

//! What can be wrong with a file of `torch.save`, and what to do about it.

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorchProblem {
    /// The format before PyTorch 1.6: one pickle after the other.
    #[error("is a pickle in PyTorch's format before 1.6, which is no zip archive")]
    Legacy,
    /// Something else.
    #[error("is no file of torch.save: it begins with {found:02x?}, where a zip archive begins with [50, 4b, 03, 04]")]
    NotZip {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// The file ends too early.
    #[error("ends before what its directory promises: it is truncated")]
    Short,
    /// The archive is not as it should be.
    #[error("zip archive: {0}")]
    Zip(String),
    /// An entry that would have to be unpacked.
    #[error("zip archive: {name:?} is compressed or encrypted; torch.save stores tensors as they are")]
    Packed {
        /// The entry.
        name: String,
    },
    /// Written on a machine of the other kind.
    #[error("holds its numbers in {0:?} byte order; only \"little\" is read")]
    ByteOrder(String),
    /// A pickle that is not one, or uses what no state dict uses.
    #[error("pickle: {what} at byte {at}")]
    Pickle {
        /// Where in the pickle.
        at: usize,
        /// What is there.
        what: String,
    },
    /// A name that would be imported and called.
    #[error("pickle: asks for {name}, which no state dict needs; it was not run")]
    Global {
        /// The module and name.
        name: String,
    },
    /// The pickle describes something else.
    #[error("holds {found}, where a state dict (names and tensors) was expected")]
    NoStateDict {
        /// What it is.
        found: String,
    },
    /// A tensor whose bytes are not there.
    #[error("zip archive: has no entry {name:?}, which a tensor lies in")]
    NoStorage {
        /// The entry.
        name: String,
    },
    /// A tensor that cannot be read as it lies.
    #[error("tensor {tensor:?} {problem}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl TorchProblem {
    pub(super) fn zip(text: impl Into<String>) -> Self {
        Self::Zip(text.into())
    }

    /// What a person can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Legacy | Self::ByteOrder(_) => {
                Some("convert it: load it with torch.load(…, weights_only=True) and save it with safetensors")
            }
            Self::Global { .. } | Self::NoStateDict { .. } => {
                Some("save the state dict of the model alone: torch.save(model.state_dict(), …), or better as safetensors")
            }
            Self::NotZip { .. } | Self::Short => Some("is the download complete? A Git LFS pointer is a short text in its place"),
            Self::Tensor { .. } => Some("save it again with save_pretrained, which makes tensors contiguous"),
            _ => None,
        }
    }
}

//! Where the elements of an input come from: a tensor in a file, as it is or through a lens, or rows of
//! several such tensors, or what an earlier recipe makes of some.

use super::{composed::Composed, gathered::Gathered, lens::Lens, tiles::Passes};
use crate::{MergeError, checkpoint::DataFile};
use braid_gpu::{Arithmetic, Stored as InFile};
use braid_kernels::{Dtype, KernelError, Slice, SliceMut};
use std::sync::{Arc, atomic::Ordering};

/// Where the elements of an input come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A tensor in a file.
    Stored(Stored),
    /// Rows of some.
    Gathered(Arc<Gathered>),
    /// A tensor that is computed of others.
    Composed(Box<Composed>),
}

/// A tensor in a file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The file.
    pub file: Arc<DataFile>,
    /// Where it begins there.
    pub offset: u64,
    /// Its element type there.
    pub dtype: Dtype,
    /// What it is read through, if a method is to see something else: f32 then.
    pub lens: Option<Arc<Lens>>,
}

/// What a read is for.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Counts what is read, and the time that it takes.
    pub passes: &'a Passes<'a>,
    /// The tensor that is made of it.
    pub tensor: &'a str,
    /// How messages name the model.
    pub model: &'a str,
}

impl Origin {
    /// The type that a method sees.
    pub(super) fn seen(&self) -> Dtype {
        match self {
            Self::Stored(stored) => stored.seen(),
            Self::Gathered(rows) => rows.dtype,
            Self::Composed(made) => made.dtype,
        }
    }

    /// The type of what digests are of: the bytes as they lie in the file, or what else a method sees.
    pub(super) fn dtype(&self) -> Dtype {
        match self {
            Self::Stored(stored) => stored.dtype,
            Self::Gathered(rows) => rows.dtype,
            Self::Composed(made) => made.dtype,
        }
    }

    /// Whether its bytes in the file are what a method sees.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Stored(stored) => stored.lens.is_none(),
            Self::Gathered(_) | Self::Composed(_) => true,
        }
    }

    /// The bytes of an element in the spare memory of a read.
    pub(super) fn spare(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.lens.as_ref().map_or(0, |_| stored.dtype.size()),
            Self::Gathered(rows) => rows.spare(),
            Self::Composed(made) => made.spare(),
        }
    }

    /// The bytes that reading so many elements takes.
    pub(super) fn moved(&self, elements: u64) -> u64 {
        match self {
            Self::Composed(made) => made.moved(elements),
            Self::Stored(_) | Self::Gathered(_) => elements * self.dtype().size() as u64,
        }
    }

    /// Says that all of its elements will be read. Of rows that was said when they were gathered.
    pub(super) fn will_read(&self, elements: u64) {
        match self {
            Self::Stored(stored) => stored.will_read(0, elements),
            Self::Gathered(_) => {}
            Self::Composed(made) => made.will_read(elements),
        }
    }

    /// So many elements from `first` on, for GPUs that read them from the file by themselves; none where they cannot.
    pub(super) fn in_file(&self, arithmetic: &Arithmetic, first: u64, elements: usize) -> Option<InFile<'_>> {
        let Self::Stored(Stored { file, offset, dtype, lens: None }) = self else { return None };
        let offset = offset + first * dtype.size() as u64;
        Some(InFile { file: file.stored(arithmetic)?, offset, dtype: *dtype, elements })
    }

    /// Fills `buffer` with the elements from `first` on, as a method sees them; `spare` may be written over. Returns the bytes
    /// that digests are of.
    pub(super) fn read<'b>(
        &self,
        reader: Reader<'_>,
        first: u64,
        buffer: &'b mut [u8],
        spare: &'b mut [u8],
    ) -> Result<&'b [u8], MergeError> {
        match self {
            Self::Stored(stored) => stored.read(reader, first, buffer, spare),
            Self::Gathered(rows) => {
                rows.read(reader, first, buffer, spare)?;
                Ok(buffer)
            }
            Self::Composed(made) => {
                made.read(reader, first, buffer, spare)?;
                Ok(buffer)
            }
        }
    }
}

impl Stored {
    /// The type that a method sees.
    pub(super) fn seen(&self) -> Dtype {
        if self.lens.is_some() { Dtype::F32 } else { self.dtype }
    }

    /// Says that the elements from `first` on, `elements` of them, will be read.
    pub(super) fn will_read(&self, first: u64, elements: u64) {
        let size = self.dtype.size() as u64;
        let begin = self.offset.saturating_add(first.saturating_mul(size));
        self.file.will_read(begin..begin.saturating_add(elements.saturating_mul(size)));
    }

    /// As [`Origin::read`].
    pub(super) fn read<'b>(
        &self,
        reader: Reader<'_>,
        first: u64,
        buffer: &'b mut [u8],
        spare: &'b mut [u8],
    ) -> Result<&'b [u8], MergeError> {
        let bytes = buffer.len() / self.seen().size() * self.dtype.size();
        let Some(lens) = &self.lens else {
            self.bytes(reader, first, buffer)?;
            return Ok(buffer);
        };
        let raw = &mut spare[..bytes];
        self.bytes(reader, first, raw)?;
        let made = Slice::new(self.dtype, raw).and_then(|raw| lens.apply(&raw, first, &mut SliceMut::new(Dtype::F32, buffer)?));
        made.map_err(|error| reader.explain(first, error))?;
        Ok(raw)
    }

    /// Fills `buffer` with the bytes of the elements from `first` on, as they lie in the file.
    pub(super) fn bytes(&self, reader: Reader<'_>, first: u64, buffer: &mut [u8]) -> Result<(), MergeError> {
        let passes = reader.passes;
        passes.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        passes.phases.read.of(|| self.file.read_exact_at(buffer, self.offset + first * self.dtype.size() as u64))
    }
}

impl Reader<'_> {
    /// Says which model the trouble of a run of elements from `first` on comes from.
    pub(super) fn explain(&self, first: u64, error: KernelError) -> MergeError {
        match error {
            KernelError::NotANumber { element } => MergeError::NotANumber {
                tensor: self.tensor.to_owned(),
                element: first + element as u64,
                model: Some(self.model.to_owned()),
            },
            source => MergeError::Kernel { tensor: self.tensor.to_owned(), source },
        }
    }
}

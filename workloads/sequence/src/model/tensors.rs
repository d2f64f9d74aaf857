//! The parameters of a model as a file of safetensors, and back.

use super::{Place, Table};
use safetensors::{Dtype, SafeTensors, View};
use std::{borrow::Cow, fs, fs::File, io, path::Path};

/// Writes slices in the order of a table, each under its names with a prefix, and flushes the file.
///
/// # Errors
/// Those of the file.
pub fn write(path: &Path, table: &Table, groups: &[(&str, &[f32])]) -> io::Result<()> {
    let tensors = groups.iter().flat_map(|(prefix, values)| {
        let tensor = move |place: &Place| {
            (format!("{prefix}{}", place.name), Floats { shape: place.shape.clone(), values: &values[place.range.clone()] })
        };
        table.places().iter().map(tensor)
    });
    let about = Some([("format".to_owned(), "pt".to_owned())].into());
    safetensors::serialize_to_file(tensors, about, path).map_err(io::Error::other)?;
    File::open(path)?.sync_all()
}

/// Reads the slice that was written with this prefix.
///
/// # Errors
/// A file that cannot be read or has other tensors, in words.
pub fn read(path: &Path, table: &Table, prefix: &str) -> Result<Vec<f32>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format!("{name}: {error}"))?;
    let mut values = vec![0.0; table.elements()];
    for place in table.places() {
        let tensor = file.tensor(&format!("{prefix}{}", place.name)).map_err(|error| format!("{name}: {error}"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != place.shape {
            return Err(format!("{name}: {} is {:?} {:?}", place.name, tensor.dtype(), tensor.shape()));
        }
        let (numbers, _) = tensor.data().as_chunks::<4>();
        values[place.range.clone()].iter_mut().zip(numbers).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
    }
    Ok(values)
}

/// A tensor of f32 in memory.
struct Floats<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

//! BLAKE3 on the device, and files that it reads by itself: the values of the CPU, and the bytes that lie there.

use std::{
    fs::{self, File},
    path::Path,
};

use blake3::{Hasher, hazmat::HasherExt};
use braid_gpu::{ChainingValue, GpuError, HASHED, Lane, Storage, Stored};
use braid_kernels::{Dtype, linear, testing};

use crate::{FLOATS, TAKEN, Tensor, output};

/// Of a part of a larger input, as the CPU computes it.
fn values(bytes: &[u8], offset: u64) -> Vec<ChainingValue> {
    let value = |(index, part): (usize, &[u8])| {
        Hasher::new().set_input_offset(offset + index as u64 * HASHED).update(part).finalize_non_root()
    };
    bytes.chunks(HASHED as usize).enumerate().map(value).collect()
}

pub(super) fn chaining_values_are_those_of_blake3(lane: &mut Lane) {
    let bytes = testing::bytes(Dtype::F32, 150_000, 2);
    let lengths = [1, 63, 64, 65, 1023, 1024, 1025, 2048, 3 * 1024 + 1, 5 * 1024, 7 * 1024 - 3, 65_535, 65_536, 65_537];
    let longer = [64 * 1024 * 3, 64 * 1024 * 5 + 33 * 1024 + 100];
    for length in lengths.into_iter().chain(longer) {
        for offset in [0, 1 << 16, (1 << 42) + (1 << 20)] {
            let found = lane.chaining_values(&bytes[..length], offset).expect(TAKEN);
            assert_eq!(found, values(&bytes[..length], offset), "{length} bytes at {offset}");
        }
    }
    assert_eq!(lane.chaining_values(&[], 0).expect(TAKEN), [[0; 32]; 0]);
}

/// Shows on a file in `folder` that a device reads what lies where it begins, and no more than there is.
///
/// # Errors
/// The file cannot be made, or `storage` does not take it.
///
/// # Panics
/// The device reads something else.
pub fn files_are_read_where_they_begin(lane: &mut Lane, storage: &Storage, folder: &Path) -> Result<(), GpuError> {
    let path = folder.join("stored");
    let fails = |error: std::io::Error| GpuError::Storage { path: path.clone(), problem: error.to_string() };
    let bytes = testing::bytes(Dtype::F64, 300_000, 4);
    fs::write(&path, &bytes).map_err(fails)?;
    // what disks read is what lies on them
    let file = File::open(&path).map_err(fails)?;
    file.sync_all().map_err(fails)?;
    let stored = storage.register(&file, &path)?;
    let at = |offset: usize, dtype: Dtype, elements| Stored { file: &stored, offset: offset as u64, dtype, elements };
    for dtype in FLOATS {
        for offset in [0, 8, 4096, 4104, 40_968, 1_000_008] {
            for elements in [1, 511, 4096, 70_001] {
                let part = Tensor { dtype, bytes: bytes[offset..][..elements * dtype.size()].to_vec() };
                let inputs = [at(offset, dtype, elements), at(0, Dtype::BF16, elements)];
                let other = Tensor { dtype: Dtype::BF16, bytes: bytes[..2 * elements].to_vec() };
                let mut sum = vec![0; 4 * elements];
                let found = lane.stored(&inputs, |there| {
                    let mut out = braid_kernels::SliceMut::new(Dtype::F32, &mut sum)?;
                    // a sum that is not a number is not handed out; the digests are there anyway
                    let summed = there.linear(&[(0, 1.0), (1, 0.5)], 1.0, &mut out);
                    Ok((summed, there.chaining_values(0, 1 << 20)?, there.chaining_values(1, 0)?))
                });
                let (summed, of_part, of_other) = found.expect(TAKEN);
                let what = format!("{elements} of {dtype} at {offset}");
                assert_eq!(of_part, Some(values(&part.bytes, 1 << 20)), "{what}");
                assert_eq!(of_other, Some(values(&other.bytes, 0)), "{what}");
                let cpu = output(Dtype::F32, elements, |out| linear(&[part.slice(), other.slice()], &[1.0, 0.5], 1.0, out));
                assert_eq!(summed.map(|()| sum), cpu, "{what}");
            }
        }
    }
    assert!(stored.is_sound());
    let past = lane.stored(&[at(bytes.len() - 100, Dtype::F32, 26)], |_| Ok(()));
    assert!(matches!(past, Err(GpuError::Storage { .. })), "{past:?}");
    assert!(!stored.is_sound(), "what has failed is not read again");
    Ok(())
}

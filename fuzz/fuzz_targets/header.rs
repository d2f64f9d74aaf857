//! A safetensors file from a stranger: refused, or every tensor lies inside it and they cover it exactly.

#![no_main]

use braid_merge::checkpoint::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(header) = Header::of_file(file) else { return };
    let mut at = None;
    for tensor in &header.tensors {
        assert!(at.is_none_or(|end| end == tensor.offset), "a gap or an overlap before {tensor:?}");
        let elements = tensor.shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        assert_eq!(elements.and_then(|n| n.checked_mul(tensor.dtype.size() as u64)), Some(tensor.bytes));
        at = Some(tensor.offset + tensor.bytes);
    }
    assert!(at.is_none_or(|end| end == file.len() as u64), "bytes after the last tensor");
});

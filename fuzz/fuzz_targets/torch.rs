//! A file of `torch.save` from a stranger: refused, or every tensor lies inside it; as an archive, and as the pickle in one.

#![no_main]

use braid_merge::checkpoint::TorchFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&archive(bytes));
});

fn check(file: &[u8]) {
    let Ok(read) = TorchFile::of_bytes(file) else { return };
    for tensor in &read.tensors {
        let end = tensor.offset.checked_add(tensor.bytes);
        assert!(end.is_some_and(|end| end <= file.len() as u64), "{tensor:?} ends outside of the file");
        let elements = tensor.shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        assert_eq!(elements.and_then(|n| n.checked_mul(tensor.dtype.size() as u64)), Some(tensor.bytes));
    }
}

/// An archive of this pickle and one storage, so that what is tried reaches the pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in [("data.pkl", pickle), ("data/0", &[0; 64][..])] {
        let numbers = [(data.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        let at = file.len() as u32;
        let lengths = [name.len() as u8, 0, 0, 0];
        file.extend([&b"PK\x03\x04"[..], &[0; 14], &numbers, &lengths, name.as_bytes(), data].concat());
        directory
            .extend([&b"PK\x01\x02"[..], &[0; 16], &numbers, &lengths, &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let end = [(directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes()].concat();
    file.extend([&directory, &b"PK\x05\x06"[..], &[0; 8], &end, &[0; 2]].concat());
    file
}

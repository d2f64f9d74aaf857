use super::*;
use proptest::prelude::*;

fn file(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// One tensor entry.
fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

#[test]
fn a_header_says_where_each_tensor_lies() {
    let json = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{},{},{}}}  "#,
        entry("b", "BF16", "[2,3]", 4, 16),
        entry("a", "F32", "[]", 0, 4),
        entry("none", "I64", "[0,7]", 4, 4)
    );
    let header = Header::of_file(&file(&json, 16)).unwrap();
    let start = 8 + json.len() as u64;
    let found: Vec<_> =
        header.tensors.iter().map(|t| (t.name.as_str(), t.dtype, t.shape.clone(), t.offset - start, t.bytes)).collect();
    assert_eq!(
        found,
        [("a", Dtype::F32, vec![], 0, 4), ("none", Dtype::I64, vec![0, 7], 4, 0), ("b", Dtype::BF16, vec![2, 3], 4, 12)]
    );
}

#[test]
fn a_hostile_header_is_refused_with_its_reason() {
    let one = |dtype, shape, begin, end| format!("{{{}}}", entry("w", dtype, shape, begin, end));
    let two = |first: (u64, u64), second: (u64, u64)| {
        let shape = |(begin, end): (u64, u64)| format!("[{}]", end - begin);
        format!(
            "{{{},{}}}",
            entry("a", "U8", &shape(first), first.0, first.1),
            entry("b", "U8", &shape(second), second.0, second.1)
        )
    };
    for (bytes, expected) in [
        (vec![], "is 0 bytes long: too short for a safetensors file"),
        (vec![1, 0, 0], "is 3 bytes long: too short"),
        (
            u64::MAX.to_le_bytes().to_vec(),
            "says that its header is 18446744073709551615 bytes long; at most 100000000 are allowed",
        ),
        (100_000_001u64.to_le_bytes().to_vec(), "at most 100000000 are allowed"),
        (9u64.to_le_bytes().to_vec(), "says that its header is 9 bytes long, but only 0 bytes follow"),
        ([&2u64.to_le_bytes()[..], &[b'{', 0xff]].concat(), "header is not UTF-8: wrong byte at 1"),
        (file("", 0), "EOF while parsing"),
        (file("[]", 0), "expected an object with an entry for each tensor"),
        (file("{} x", 0), "trailing characters"),
        (file(r#"{"w":3}"#, 0), "tensor \"w\": invalid type: integer `3`"),
        (file(r#"{"w":{"dtype":"F32","shape":[1]}}"#, 4), "tensor \"w\": missing field `data_offsets`"),
        (file(&one("F32", "[-1]", 0, 4), 4), "tensor \"w\": invalid value: integer `-1`"),
        (file(&one("F32", "[1.5]", 0, 4), 4), "tensor \"w\": invalid type: floating point `1.5`"),
        (file(&one("F32", "\"1\"", 0, 4), 4), "a shape, which is a list of whole numbers"),
        (file(&one("U8", &format!("[{}1]", "1,".repeat(64)), 0, 1), 1), "a shape of more than 64 dimensions"),
        (file(&format!("{{{0},{0}}}", entry("w", "F32", "[1]", 0, 4)), 4), "header names tensor \"w\" twice"),
        (file(&one("F4", "[1]", 0, 4), 4), "tensor \"w\" has the unknown dtype \"F4\""),
        (
            file(&one("F64", "[4294967296,4294967296]", 0, 4), 4),
            "of dtype F64 and shape [4294967296, 4294967296] is larger than any file",
        ),
        (file(&one("U8", "[9223372036854775808]", 0, 4), 4), "is larger than any file"),
        (file(&one("F32", "[1]", 4, 0), 4), "tensor \"w\" ends at byte 0, before its beginning at 4"),
        (file(&one("BF16", "[3,2]", 0, 16), 16), "of dtype BF16 and shape [3, 2] needs 12 bytes, but its offsets 0..16 hold 16"),
        (
            file(&one("F32", "[4]", 0, 16), 12),
            "tensor \"w\" ends at byte 16 of the data, but the file holds only 12: it is truncated",
        ),
        (file(&one("U8", "[2]", u64::MAX - 2, u64::MAX), 4), "it is truncated"),
        (file(&two((0, 8), (4, 12)), 12), "tensors \"a\" and \"b\" overlap at byte 4 of the data"),
        (file(&two((0, 8), (0, 8)), 8), "tensors \"a\" and \"b\" overlap at byte 0 of the data"),
        (file(&two((0, 4), (8, 12)), 12), "bytes 4..8 of the data belong to no tensor"),
        (file(&one("U8", "[2]", 1, 3), 3), "bytes 0..1 of the data belong to no tensor"),
        (file(&one("U8", "[2]", 0, 2), 5), "bytes 2..5 of the data belong to no tensor"),
        (file(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), 0), "header is not as safetensors defines it"),
        (file(&format!(r#"{{"w":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000)), 0), "header is not as safetensors defines it"),
    ] {
        let error = Header::of_file(&bytes).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    }
}

proptest! {
    /// Whatever one byte is changed to, a header that is still accepted covers the file exactly, as the reference reader says.
    #[test]
    fn a_header_with_a_changed_byte_is_judged_as_by_the_reference(at in 0usize..230, byte: u8, cut in 0usize..4) {
        let json = format!("{{{},{},{}}}", entry("a", "F32", "[2]", 0, 8), entry("b", "BF16", "[2,3]", 8, 20), entry("c", "U8", "[4]", 20, 24));
        let mut bytes = file(&json, 24);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut * 7);
        let reference = safetensors::SafeTensors::deserialize(&bytes);
        match Header::of_file(&bytes) {
            Ok(header) => {
                let end = header.tensors.iter().map(|t| t.offset + t.bytes).max().unwrap_or_else(|| 8 + u64::from(bytes[0]));
                prop_assert_eq!(end, bytes.len() as u64);
                prop_assert!(reference.is_ok(), "the reference refuses: {:?}", reference.err());
            }
            // Braid is stricter in these: types without a whole number of bytes or of no use, names that come twice.
            Err(HeaderProblem::UnknownDtype { .. } | HeaderProblem::Duplicate { .. } | HeaderProblem::Json(_)) => {}
            Err(other) => prop_assert!(reference.is_err(), "only Braid refuses: {other}"),
        }
    }
}

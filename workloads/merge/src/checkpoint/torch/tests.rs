use super::{
    TorchFile, TorchProblem,
    writer::{Pickler, strides, torch_file, zip},
};
use crate::testing::Tensor;
use braid_kernels::Dtype;
use proptest::prelude::*;

fn tensors() -> Vec<Tensor> {
    let shaped = |name: &str, dtype, shape: &[u64], seed| Tensor {
        shape: shape.to_vec(),
        ..Tensor::noise(name, dtype, shape.iter().product(), seed)
    };
    vec![
        shaped("a", Dtype::BF16, &[3, 4], 1),
        shaped("b", Dtype::F32, &[], 2),
        shaped("c", Dtype::F16, &[0, 5], 3),
        shaped("d", Dtype::F64, &[2, 1, 2], 4),
        shaped("e", Dtype::I64, &[7], 5),
    ]
}

/// A file of this pickle and storages of 64 bytes.
fn file(pickle: Pickler) -> Vec<u8> {
    let storage: Vec<u8> = (0..64).collect();
    zip(&[("m/data.pkl", &pickle.0), ("m/data/0", &storage), ("m/data/1", &storage)], false)
}

/// A state dict with one entry.
fn state(entry: impl Fn(Pickler) -> Pickler) -> Vec<u8> {
    file(entry(Pickler::new().ordered_dict().op(b"(").text("w")).op(b"u."))
}

fn problem(file: &[u8]) -> String {
    TorchFile::of_bytes(file).unwrap_err().to_string()
}

#[test]
fn tensors_are_where_the_file_says() {
    let bytes = torch_file(&tensors());
    let found = TorchFile::of_bytes(&bytes).unwrap().tensors;
    assert_eq!(found.len(), 5);
    for (found, tensor) in found.iter().zip(tensors()) {
        assert_eq!((&found.name, found.dtype, &found.shape), (&tensor.name, tensor.dtype, &tensor.shape));
        assert!(found.offset % 64 == 0 || tensor.bytes.is_empty());
        assert_eq!(bytes[found.offset as usize..][..found.bytes as usize], tensor.bytes);
    }
}

/// Made by PyTorch 2.15: tied and offset tensors, a parameter, metadata of modules, an eight-bit and an unsigned type.
#[test]
fn a_file_of_pytorch_itself_is_read() {
    let bytes = include_bytes!("fixture.pt");
    let found = TorchFile::of_bytes(bytes).unwrap().tensors;
    let list: Vec<_> = found.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype, tensor.shape.as_slice())).collect();
    let expected: [(&str, Dtype, &[u64]); 6] = [
        ("embed.weight", Dtype::F32, &[3, 2]),
        ("head.weight", Dtype::F32, &[3, 2]),
        ("part", Dtype::F32, &[2, 2]),
        ("half", Dtype::BF16, &[4]),
        ("eight", Dtype::F8E4M3, &[2, 2]),
        ("count", Dtype::U16, &[]),
    ];
    assert_eq!(list, expected);
    let values = |index: usize| &bytes[found[index].offset as usize..][..found[index].bytes as usize];
    let floats: Vec<u8> = (0..6).flat_map(|n| (n as f32 / 2.0).to_le_bytes()).collect();
    assert_eq!((values(0), values(2)), (&floats[..], &floats[8..]));
    assert_eq!(found[0].offset, found[1].offset, "tied tensors share their bytes");
    assert_eq!((values(3), values(5)), (&[0x80, 0x3f].repeat(4)[..], &[0x39, 0x30][..]));
    assert_eq!(values(4), [0x38, 0xb8, 0x40, 0x30], "1, -1, 2, 0.5");
}

#[test]
fn views_share_storages_and_wrappers_are_opened() {
    let shared = file(
        Pickler::new()
            .op(b"}")
            .text("state_dict")
            .ordered_dict()
            .op(b"(")
            .text("w")
            .tensor("FloatStorage", "0", 0, &[2, 3], &[3, 1])
            .text("v")
            .tensor("FloatStorage", "0", 3, &[1, 3], &[77, 1])
            .op(b"u")
            .op(b"}(")
            .text("_metadata")
            .op(b"}ubs."),
    );
    let found = TorchFile::of_bytes(&shared).unwrap().tensors;
    assert_eq!((found[0].bytes, found[1].bytes, found[1].offset), (24, 12, found[0].offset + 12));
    let parameter = state(|pickler| {
        pickler
            .global("torch._utils", "_rebuild_parameter")
            .op(b"(")
            .tensor("HalfStorage", "1", 0, &[4], &[1])
            .op(&[0x88])
            .op(b"NtR")
    });
    assert_eq!(TorchFile::of_bytes(&parameter).unwrap().tensors[0].dtype, Dtype::F16);
}

#[test]
fn an_archive_beyond_four_gigabytes_has_its_numbers_elsewhere() {
    let pickle = Pickler::new().ordered_dict().op(b"(").text("w").tensor("FloatStorage", "0", 1, &[2], &[1]).op(b"u.").0;
    let entries: [(&str, &[u8]); 2] = [("data.pkl", &pickle), ("data/0", &[5; 12])];
    let (long, short) = (zip(&entries, true), zip(&entries, false));
    let of = |file: &[u8]| TorchFile::of_bytes(file).unwrap().tensors;
    assert_eq!(of(&long), of(&short));
    assert_eq!(of(&long)[0].bytes, 8);
}

#[test]
fn what_would_run_is_named_and_not_run() {
    for (module, name) in
        [("os", "system"), ("builtins", "eval"), ("torch", "ComplexFloatStorage"), ("torch._utils", "_rebuild_qtensor")]
    {
        let expected = format!("pickle: asks for {module}.{name}, which no state dict needs; it was not run");
        assert_eq!(problem(&state(|pickler| pickler.global(module, name))), expected);
        assert_eq!(problem(&state(|pickler| pickler.text(module).text(name).op(&[0x93]))), expected);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let tensor = |shape: &'static [u64], strides: &'static [u64]| {
        state(move |pickler| pickler.tensor("FloatStorage", "0", 0, shape, strides))
    };
    let good = torch_file(&tensors());
    let with = |find: &[u8], replace: &[u8]| {
        let at = good.windows(find.len()).rposition(|window| window == find).unwrap();
        [&good[..at], replace, &good[at + find.len()..]].concat()
    };
    let entries = |entries: &[(&str, &[u8])]| problem(&zip(entries, false));
    for (found, expected) in [
        (problem(b""), "is no file of torch.save: it begins with []"),
        (problem(b"version https://git-lfs"), "is no file of torch.save: it begins with [76, 65, 72, 73]"),
        (problem(&[0x80, 2, 0x8a, 10]), "is a pickle in PyTorch's format before 1.6"),
        (problem(&good[..good.len() - 1]), "zip archive: has no directory at its end: it is truncated"),
        (problem(&with(b"PK\x05\x06\0\0\0\0\0\0\0\0", b"PK\x05\x06\0\0\0\0\0\0\0\0\xff\xff")), "zip archive: "),
        (problem(&with(b"PK\x01\x02\0\0\0\0\0\0\0\0", b"PK\x01\x02\0\0\0\0\0\0\x08\0")), "\"archive/data/4\" is compressed"),
        (entries(&[("x", b"")]), "zip archive: has no data.pkl"),
        (entries(&[("a/data.pkl", b""), ("b/data.pkl", b"")]), "zip archive: has several data.pkl"),
        (entries(&[("data.pkl", b""), ("data.pkl", b"")]), "zip archive: has two entries \"data.pkl\""),
        (entries(&[("data.pkl", b""), ("byteorder", b"big")]), "holds its numbers in \"big\" byte order"),
        (entries(&[("data.pkl", b"")]), "pickle: the end, before it is complete, at byte 0"),
        (problem(&file(Pickler::new().op(b"}"))), "pickle: the end, before it is complete, at byte 3"),
        (problem(&file(Pickler::new().op(b"K\x07."))), "holds the number 7, where a state dict"),
        (problem(&state(|pickler| pickler.number(3))), "holds the number 3 under \"w\", where a state dict"),
        (problem(&file(Pickler::new().op(b"}K\x07Ns."))), "holds a dict with the key the number 7"),
        (problem(&file(Pickler(vec![0x80, 9]))), "pickle: protocol 9 at byte 0"),
        (problem(&file(Pickler::new().op(b"i"))), "pickle: the opcode 0x69, which no state dict needs, at byte 2"),
        (problem(&file(Pickler::new().op(b"h\x05"))), "pickle: number 5, which was not remembered, at byte 2"),
        (problem(&file(Pickler::new().op(b"."))), "pickle: more taken from the stack than is on it at byte 2"),
        (problem(&file(Pickler::new().op(b"N(."))), "pickle: more taken from the stack than is on it at byte 4"),
        (problem(&file(Pickler::new().op(b"}K\x01u"))), "the end of a list without a beginning"),
        (problem(&file(Pickler::new().op(&b"N".repeat((1 << 16) + 1)))), "pickle: too much on the stack"),
        (problem(&state(|pickler| pickler.text("os").op(b"Q"))), "pickle: a persistent id that is no tuple"),
        (problem(&state(|pickler| pickler.op(b"Nb"))), "pickle: attributes of something that is no dict"),
        (
            problem(&state(|pickler| pickler.global("collections", "OrderedDict").op(b"NR"))),
            "a call whose arguments are no tuple",
        ),
        (
            problem(&state(|pickler| pickler.global("torch", "FloatStorage").op(b")R"))),
            "with other arguments than torch.save writes",
        ),
        (problem(&state(|pickler| pickler.tensor("FloatStorage", "7", 0, &[1], &[1]))), "has no entry \"m/data/7\""),
        (
            problem(&tensor(&[3, 2], &[1, 3])),
            "tensor \"w\" of shape [3, 2] has strides [1, 3]: it is a view that is not contiguous",
        ),
        (problem(&tensor(&[3, 2], &[2])), "has strides [2]"),
        (problem(&tensor(&[4, 5], &[5, 1])), "begins at element 0 of storage \"0\", which has only 64 bytes"),
        (
            problem(&state(|pickler| {
                let storage = pickler.global("torch._utils", "_rebuild_tensor_v2").op(b"(").storage("FloatStorage", "0", 1);
                storage.number(u64::MAX / 4).tuple(&[1 << 62, 8]).tuple(&[8, 1]).op(&[0x89]).op(b"NtR")
            })),
            "is larger than any file",
        ),
        (
            problem(&state(|pickler| {
                let storage = pickler.global("torch._utils", "_rebuild_tensor_v2").op(b"(").storage("FloatStorage", "0", 1);
                storage.number(1 << 62).tuple(&[2]).tuple(&[1]).op(&[0x89]).op(b"NtR")
            })),
            "begins at element 4611686018427387904 of storage",
        ),
    ] {
        assert!(found.contains(expected), "expected {expected:?}, got {found:?}");
    }
}

#[test]
fn a_dict_in_itself_and_a_deep_one_are_no_harm() {
    let itself = Pickler::new().op(b"}q\x00").text("state_dict").op(b"h\x00s.");
    assert!(problem(&file(itself)).contains("a dict under \"state_dict\""));
    let deep = (0..1_000_000).fold(Pickler::new().op(b")"), |pickler, _| pickler.op(&[0x85])).op(b".");
    assert!(problem(&file(deep)).contains("holds a tuple"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
        let mut file = torch_file(&tensors());
        let length = file.len();
        file[at % length] = byte;
        file.truncate(length - cut % 3 * (cut % length) / 2);
        if let Ok(read) = TorchFile::of_bytes(&file) {
            for tensor in read.tensors {
                prop_assert!(tensor.offset + tensor.bytes <= file.len() as u64);
            }
        }
    }

    #[test]
    fn strides_of_what_is_written_are_those_of_no_gaps(shape in proptest::collection::vec(0u64..4, 0..5)) {
        let strides = strides(&shape);
        let fits = shape.iter().product::<u64>() <= 16;
        let found = TorchFile::of_bytes(&state(|pickler| pickler.tensor("FloatStorage", "0", 0, &shape, &strides)));
        prop_assert_eq!(found.is_ok(), fits);
        if let Err(problem) = found {
            let of_tensor = matches!(problem, TorchProblem::Tensor { .. });
            prop_assert!(of_tensor);
        }
    }
}

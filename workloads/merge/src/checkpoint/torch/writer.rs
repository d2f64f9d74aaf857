//! Files as `torch.save` writes them, for tests: a zip of stored entries around a pickle of protocol 2.

use crate::testing::Tensor;
use braid_kernels::Dtype;

/// The bytes of a pickle, put together from opcodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pickler(pub(crate) Vec<u8>);

impl Pickler {
    /// One that begins as protocol 2 does.
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(crate) fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let length = text.len() as u32;
        self.op(b"X").op(&length.to_le_bytes()).op(text.as_bytes())
    }

    pub(crate) fn number(self, number: u64) -> Self {
        match u8::try_from(number) {
            Ok(small) => self.op(&[b'K', small]),
            Err(_) => self.op(&[0x8a, 8]).op(&number.to_le_bytes()),
        }
    }

    pub(crate) fn tuple(self, numbers: &[u64]) -> Self {
        numbers.iter().fold(self.op(b"("), |pickler, number| pickler.number(*number)).op(b"t")
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(crate) fn ordered_dict(self) -> Self {
        self.global("collections", "OrderedDict").op(b")R")
    }

    /// A storage of `count` elements.
    pub(crate) fn storage(self, kind: &str, key: &str, count: u64) -> Self {
        self.op(b"(").text("storage").global("torch", kind).text(key).text("cpu").number(count).op(b"tQ")
    }

    /// A call that rebuilds a tensor.
    pub(crate) fn tensor(self, kind: &str, key: &str, offset: u64, shape: &[u64], strides: &[u64]) -> Self {
        let count = shape.iter().product::<u64>() + offset;
        let call = self.global("torch._utils", "_rebuild_tensor_v2").op(b"(").storage(kind, key, count);
        call.number(offset).tuple(shape).tuple(strides).op(&[0x89]).ordered_dict().op(b"tR")
    }
}

/// The strides of a tensor without gaps.
pub(crate) fn strides(shape: &[u64]) -> Vec<u64> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

fn storage_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        _ => "ByteStorage",
    }
}

/// A state dict whose tensors have a storage each.
pub(crate) fn torch_file(tensors: &[Tensor]) -> Vec<u8> {
    let mut pickler = Pickler::new().ordered_dict().op(b"(");
    for (index, tensor) in tensors.iter().enumerate() {
        let (kind, shape) = (storage_name(tensor.dtype), &tensor.shape);
        pickler = pickler.text(&tensor.name).tensor(kind, &index.to_string(), 0, shape, &strides(shape));
    }
    let pickle = pickler.op(b"u.").0;
    let names: Vec<String> = (0..tensors.len()).map(|index| format!("archive/data/{index}")).collect();
    let storages = names.iter().zip(tensors).map(|(name, tensor)| (name.as_str(), tensor.bytes.as_slice()));
    let head = [("archive/data.pkl", pickle.as_slice()), ("archive/byteorder", b"little")];
    zip(&head.into_iter().chain(storages).collect::<Vec<_>>(), false)
}

/// An archive of stored entries. A long one has its numbers in the records for archives beyond 4 GiB.
pub(crate) fn zip(entries: &[(&str, &[u8])], long: bool) -> Vec<u8> {
    let (mut file, mut directory): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let short = |number: usize| if long { u32::MAX } else { number as u32 }.to_le_bytes();
    for (name, data) in entries {
        let at = file.len();
        // as PyTorch does, bytes begin at a multiple of 64
        let padding = 4 + (64 - (at + 30 + name.len() + 4) % 64) % 64;
        file.extend([b"PK\x03\x04".as_slice(), &[0; 14], &short(data.len()), &short(data.len())].concat());
        file.extend([(name.len() as u16).to_le_bytes(), (padding as u16).to_le_bytes()].concat());
        file.extend([name.as_bytes(), b"FB", &(padding as u16 - 4).to_le_bytes(), &vec![0; padding - 4], data].concat());
        let numbers = [data.len() as u64, data.len() as u64, at as u64];
        let extra = if long { [&[1, 0, 24, 0][..], &numbers.map(u64::to_le_bytes).concat()].concat() } else { Vec::new() };
        directory.extend([b"PK\x01\x02".as_slice(), &[0; 16], &short(data.len()), &short(data.len())].concat());
        directory.extend([(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat());
        directory.extend([&[0; 10][..], &short(at), name.as_bytes(), &extra].concat());
    }
    let (at, bytes) = (file.len(), directory.len());
    file.extend(directory);
    if long {
        let end = file.len() as u64;
        file.extend([b"PK\x06\x06".as_slice(), &44u64.to_le_bytes(), &[0; 28]].concat());
        file.extend([(bytes as u64).to_le_bytes(), (at as u64).to_le_bytes()].concat());
        file.extend([b"PK\x06\x07".as_slice(), &[0; 4], &end.to_le_bytes(), &[1, 0, 0, 0]].concat());
    }
    file.extend([b"PK\x05\x06".as_slice(), &[0; 8], &short(bytes), &short(at), &[0; 2]].concat());
    file
}

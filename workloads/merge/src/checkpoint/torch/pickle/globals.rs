//! The names that a state dict asks for, and what is made of them instead of calling anything.

use super::{Fault, MAX_RANK, Machine, Object, Storage, Tensor, Value, object, odd, text};
use braid_kernels::Dtype;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Global {
    OrderedDict,
    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`
    Tensor,
    /// The same with a dtype before the metadata, for storages of bytes.
    TypedTensor,
    /// `_rebuild_parameter(tensor, requires_grad, hooks)`
    Parameter,
    /// The type of a storage, and of its elements where they have one.
    Storage(Option<Dtype>),
    Dtype(Dtype),
}

const GLOBALS: [(&str, &str, Global); 20] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::Tensor),
    ("torch._utils", "_rebuild_tensor_v3", Global::TypedTensor),
    ("torch._utils", "_rebuild_parameter", Global::Parameter),
    ("torch", "DoubleStorage", Global::Storage(Some(Dtype::F64))),
    ("torch", "FloatStorage", Global::Storage(Some(Dtype::F32))),
    ("torch", "HalfStorage", Global::Storage(Some(Dtype::F16))),
    ("torch", "BFloat16Storage", Global::Storage(Some(Dtype::BF16))),
    ("torch", "LongStorage", Global::Storage(Some(Dtype::I64))),
    ("torch", "IntStorage", Global::Storage(Some(Dtype::I32))),
    ("torch", "ShortStorage", Global::Storage(Some(Dtype::I16))),
    ("torch", "CharStorage", Global::Storage(Some(Dtype::I8))),
    ("torch", "ByteStorage", Global::Storage(Some(Dtype::U8))),
    ("torch", "BoolStorage", Global::Storage(Some(Dtype::Bool))),
    ("torch.storage", "UntypedStorage", Global::Storage(None)),
    ("torch", "uint64", Global::Dtype(Dtype::U64)),
    ("torch", "uint32", Global::Dtype(Dtype::U32)),
    ("torch", "uint16", Global::Dtype(Dtype::U16)),
    ("torch", "float8_e4m3fn", Global::Dtype(Dtype::F8E4M3)),
    ("torch", "float8_e5m2", Global::Dtype(Dtype::F8E5M2)),
];

impl Global {
    /// What a name of a module stands for, if it is one of those.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        GLOBALS.iter().find(|(of, known, _)| (*of, *known) == (module, name)).map(|(_, _, global)| *global)
    }
}

impl Machine<'_> {
    /// A storage by its persistent id: `("storage", type, key, location, elements)`.
    pub(super) fn storage(&self, id: Value) -> Result<Storage, Fault> {
        let Some(Object::Tuple(parts)) = object(&self.objects, id) else { return Err(odd("a persistent id that is no tuple")) };
        let [kind, Value::Global(Global::Storage(dtype)), key, _, Value::Integer(_)] = parts.as_slice() else {
            return Err(odd("a persistent id that is not that of a storage"));
        };
        match (text(&self.objects, *kind), text(&self.objects, *key)) {
            (Some("storage"), Some(key)) => Ok(Storage { dtype: *dtype, key: key.to_owned() }),
            _ => Err(odd("a persistent id that is not that of a storage")),
        }
    }

    /// What a call would have made.
    pub(super) fn call(&mut self, function: Value, arguments: Value) -> Result<(), Fault> {
        let Value::Global(global) = function else { return Err(odd("a call of something that is no function")) };
        let Some(Object::Tuple(arguments)) = object(&self.objects, arguments) else {
            return Err(odd("a call whose arguments are no tuple"));
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.make(Object::Dict(Vec::new())),
            (Global::Tensor, [storage, offset, shape, strides, _, _] | [storage, offset, shape, strides, _, _, _]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides, None)?;
                self.make(Object::Tensor(tensor))
            }
            (
                Global::TypedTensor,
                [storage, offset, shape, strides, _, _, Value::Global(Global::Dtype(dtype))]
                | [storage, offset, shape, strides, _, _, Value::Global(Global::Dtype(dtype)), _],
            ) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides, Some(*dtype))?;
                self.make(Object::Tensor(tensor))
            }
            (Global::Parameter, [tensor, _, _]) if matches!(object(&self.objects, *tensor), Some(Object::Tensor(_))) => {
                self.push(*tensor)
            }
            _ => Err(odd(format!("a call of {global:?} with other arguments than torch.save writes"))),
        }
    }

    fn tensor(&self, storage: Value, offset: Value, shape: Value, strides: Value, dtype: Option<Dtype>) -> Result<Tensor, Fault> {
        let Some(Object::Storage(storage)) = object(&self.objects, storage) else {
            return Err(odd("a tensor without a storage"));
        };
        let Value::Integer(offset) = offset else { return Err(odd("a tensor whose offset is no number")) };
        let offset = u64::try_from(offset).map_err(|_| odd("a negative offset"))?;
        let storage = storage.clone();
        Ok(Tensor { storage, dtype, offset, shape: self.lengths(shape)?, strides: self.lengths(strides)? })
    }

    fn lengths(&self, value: Value) -> Result<Vec<u64>, Fault> {
        let Some(Object::Tuple(items)) = object(&self.objects, value) else { return Err(odd("a shape that is no tuple")) };
        if items.len() > MAX_RANK {
            return Err(odd(format!("a shape of more than {MAX_RANK} dimensions")));
        }
        let length = |item: &Value| match item {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        items.iter().map(length).collect::<Option<_>>().ok_or_else(|| odd("a shape that is not of whole numbers"))
    }
}

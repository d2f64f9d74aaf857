//! A pickle machine that can build state dicts and nothing else (the opcodes are those of Python's `pickletools`, protocols 2 to 5).
//!
//! Everything it makes lives in one list and refers to other things by number: nothing is nested in memory, so that no depth of the pickle
//! can exhaust the stack, and a reference to itself is harmless. All sizes are bounded.

mod globals;

use super::TorchProblem;
use braid_kernels::Dtype;
use globals::Global;
use std::collections::HashMap;

/// What a pickle may leave on its stack: Python itself writes dicts by a thousand entries.
const MAX_STACK: usize = 1 << 16;
/// What it may make: a tensor takes about eight things.
const MAX_OBJECTS: usize = 1 << 22;
/// What it may remember under a number.
const MAX_MEMO: usize = 1 << 22;
/// More dimensions than any tensor has.
const MAX_RANK: usize = 64;
/// The longest name of a module or of something in it.
const MAX_GLOBAL: usize = 256;

/// Something on the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Flag(bool),
    Integer(i64),
    /// A float or bytes, of which nothing is needed.
    Other(&'static str),
    /// What a name stands for.
    Global(Global),
    /// The object with this number.
    Object(usize),
}

/// Something that has parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    Text(String),
    Tuple(Vec<Value>),
    /// Its items are of no interest.
    List,
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(Tensor),
}

/// A run of bytes in an entry of the archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    /// What its elements are, where it says so itself.
    pub(super) dtype: Option<Dtype>,
    /// Its name.
    pub(super) key: String,
}

/// A tensor as it was to be rebuilt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    /// Of its elements, where the storage has none.
    pub(super) dtype: Option<Dtype>,
    /// In elements.
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    /// In elements.
    pub(super) strides: Vec<u64>,
}

/// What a pickle has built.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    /// The last thing on the stack.
    pub(super) result: Value,
}

impl Pickle {
    /// Carries out a pickle.
    pub(super) fn run(bytes: &[u8]) -> Result<Self, TorchProblem> {
        let mut machine = Machine { bytes, at: 0, ..Machine::default() };
        loop {
            let at = machine.at;
            let fault = |what: String| TorchProblem::Pickle { at, what };
            match machine.step() {
                Ok(None) => {}
                Ok(Some(result)) => return Ok(Self { objects: machine.objects, result }),
                Err(Fault::Global(name)) => return Err(TorchProblem::Global { name }),
                Err(Fault::Short) => return Err(fault("the end, before it is complete,".into())),
                Err(Fault::Text(what)) => return Err(fault(what)),
            }
        }
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        object(&self.objects, value)
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        text(&self.objects, value)
    }

    /// A thing in a few words.
    pub(super) fn describe(&self, value: Value) -> String {
        match (value, self.object(value)) {
            (Value::None, _) => "None".into(),
            (Value::Flag(_), _) => "a boolean".into(),
            (Value::Integer(number), _) => format!("the number {number}"),
            (Value::Other(what), _) => what.into(),
            (Value::Global(_), _) => "a function or type".into(),
            (_, Some(Object::Text(text))) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
            (_, Some(Object::Tuple(_))) => "a tuple".into(),
            (_, Some(Object::List)) => "a list".into(),
            (_, Some(Object::Dict(_))) => "a dict".into(),
            (_, Some(Object::Storage(_))) => "a storage".into(),
            (_, Some(Object::Tensor(_))) => "a tensor".into(),
            (Value::Object(_), None) => "nothing".into(),
        }
    }
}

fn object(objects: &[Object], value: Value) -> Option<&Object> {
    match value {
        Value::Object(index) => objects.get(index),
        _ => None,
    }
}

fn text(objects: &[Object], value: Value) -> Option<&str> {
    match object(objects, value)? {
        Object::Text(text) => Some(text),
        _ => None,
    }
}

enum Fault {
    Short,
    Text(String),
    Global(String),
}

fn odd(what: impl Into<String>) -> Fault {
    Fault::Text(what.into())
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    objects: Vec<Object>,
}

impl<'a> Machine<'a> {
    /// Carries out one opcode; the result once there is one.
    fn step(&mut self) -> Result<Option<Value>, Fault> {
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let [protocol] = self.array()?;
                if !(2..=5).contains(&protocol) {
                    return Err(odd(format!("protocol {protocol}")));
                }
            }
            // the frames of protocol 4 say only how much to read ahead
            0x95 => drop(self.array::<8>()?),
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(odd("too many marks"));
                }
                self.marks.push(self.stack.len());
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Flag(true))?,
            0x89 => self.push(Value::Flag(false))?,
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Value::Integer(number.into()))?;
            }
            b'K' => {
                let [number] = self.array()?;
                self.push(Value::Integer(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Value::Integer(number.into()))?;
            }
            0x8a => self.long()?,
            b'G' => {
                self.array::<8>()?;
                self.push(Value::Other("a float"))?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.push_text(length.into())?;
            }
            0x8c => {
                let [length] = self.array()?;
                self.push_text(length.into())?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.push_text(length)?;
            }
            b')' => self.make(Object::Tuple(Vec::new()))?,
            b't' => {
                let items = self.since_mark()?;
                self.make(Object::Tuple(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.floor(count)?;
                let items = self.stack.split_off(start);
                self.make(Object::Tuple(items))?;
            }
            b']' => self.make(Object::List)?,
            b'l' => {
                self.since_mark()?;
                self.make(Object::List)?;
            }
            b'a' => {
                self.pop()?;
                self.is_list()?;
            }
            b'e' => {
                self.since_mark()?;
                self.is_list()?;
            }
            b'}' => self.make(Object::Dict(Vec::new()))?,
            b'd' => {
                let items = self.since_mark()?;
                let entries = pairs(&items)?;
                self.make(Object::Dict(entries))?;
            }
            b's' => {
                let start = self.floor(2)?;
                let items = self.stack.split_off(start);
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'q' => {
                let [index] = self.array()?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.remember(index)?;
            }
            0x94 => {
                let index = u32::try_from(self.memo.len()).map_err(|_| odd("too much to remember"))?;
                self.remember(index)?;
            }
            b'h' => {
                let [index] = self.array()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = Global::find(module, name).ok_or_else(|| Fault::Global(format!("{module}.{name}")))?;
                self.push(Value::Global(global))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (text(&self.objects, module), text(&self.objects, name)) else {
                    return Err(odd("a name that is no text"));
                };
                let named = || Fault::Global(format!("{module}.{name}").chars().take(2 * MAX_GLOBAL).collect());
                let global = Global::find(module, name).ok_or_else(named)?;
                self.push(Value::Global(global))?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.make(Object::Storage(storage))?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.call(function, arguments)?;
            }
            // attributes of the dict, such as the versions of modules
            b'b' => {
                self.pop()?;
                match self.top()? {
                    Value::Object(index) if matches!(self.objects.get(index), Some(Object::Dict(_))) => {}
                    _ => return Err(odd("attributes of something that is no dict")),
                }
            }
            other => return Err(odd(format!("the opcode {other:#04x}, which no state dict needs,"))),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.first_chunk().copied().ok_or(Fault::Short)
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().take(MAX_GLOBAL + 1).position(|byte| *byte == b'\n').ok_or_else(|| odd("a name without an end"))?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| odd("a name that is not UTF-8"))?;
        self.at += end + 1;
        Ok(line)
    }

    /// A whole number of up to eight bytes.
    fn long(&mut self) -> Result<(), Fault> {
        let [length] = self.array()?;
        if length > 8 {
            return Err(odd(format!("a whole number of {length} bytes")));
        }
        let bytes = self.take(length.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut full = [if negative { 0xff } else { 0 }; 8];
        full[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Integer(i64::from_le_bytes(full)))
    }

    fn push_text(&mut self, length: u64) -> Result<(), Fault> {
        let bytes = self.take(usize::try_from(length).map_err(|_| Fault::Short)?)?;
        let text = std::str::from_utf8(bytes).map_err(|_| odd("text that is not UTF-8"))?;
        self.make(Object::Text(text.to_owned()))
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.stack.len() >= MAX_STACK {
            return Err(odd("too much on the stack"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn make(&mut self, object: Object) -> Result<(), Fault> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(odd("too many things"));
        }
        self.objects.push(object);
        self.push(Value::Object(self.objects.len() - 1))
    }

    /// The lowest place that may be taken from the stack.
    fn base(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    /// Where the last `count` values begin.
    fn floor(&self, count: usize) -> Result<usize, Fault> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.base());
        start.ok_or_else(|| odd("more taken from the stack than is on it"))
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        let start = self.floor(1)?;
        let value = self.stack[start];
        self.stack.truncate(start);
        Ok(value)
    }

    fn top(&self) -> Result<Value, Fault> {
        self.floor(1).map(|start| self.stack[start])
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| odd("the end of a list without a beginning"))?;
        // the stack never falls below the last mark
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn is_list(&self) -> Result<(), Fault> {
        match object(&self.objects, self.top()?) {
            Some(Object::List) => Ok(()),
            _ => Err(odd("an item of something that is no list")),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Fault> {
        let target = self.top()?;
        let new = pairs(items)?;
        let Value::Object(index) = target else { return Err(odd("an entry of something that is no dict")) };
        match self.objects.get_mut(index) {
            Some(Object::Dict(entries)) => entries.extend(new),
            _ => return Err(odd("an entry of something that is no dict")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), Fault> {
        if self.memo.len() >= MAX_MEMO {
            return Err(odd("too much to remember"));
        }
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), Fault> {
        let value = self.memo.get(&index).copied().ok_or_else(|| odd(format!("number {index}, which was not remembered,")))?;
        self.push(value)
    }
}

fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(odd("a key without a value"));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

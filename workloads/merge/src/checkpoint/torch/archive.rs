//! The directory of a zip archive (APPNOTE.TXT 6.3.10, sections 4.3 and 4.5): names of entries, and where the bytes of each lie.
//!
//! `torch.save` stores its entries without compression, so that an entry is a range of the file. Nothing is unpacked here, and checksums are
//! not looked at: what a tensor holds is anybody's choice anyway.

use super::{
    TorchProblem,
    source::{Source, u16_at, u32_at, u64_at},
};
use std::collections::HashMap;

/// The longest directory: a million entries of some fifty bytes each.
const MAX_DIRECTORY: u64 = 64 << 20;

/// The record at the end, without its comment.
const END: u64 = 22;
/// The record that says where the larger one for archives beyond 4 GiB is.
const LOCATOR: u64 = 20;
/// That larger record.
const END_64: u64 = 56;
/// The longest comment.
const COMMENT: u64 = 0xffff;
/// An entry's record in the directory, without its name.
const RECORD: usize = 46;
/// An entry's record before its bytes, without its name.
const LOCAL: u64 = 30;

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its own record is.
    local: u64,
    /// How many bytes it has.
    pub(super) bytes: u64,
    /// Whether they are there as they are.
    stored: bool,
}

/// The entries of an archive by name.
pub(super) struct Archive(HashMap<String, Entry>);

impl Archive {
    /// Reads the directory.
    pub(super) fn read<E>(source: &Source<'_, E>) -> Result<Self, E> {
        let refuse = |problem| (source.refuse)(problem);
        let first = source.bytes(0, source.length.min(4))?;
        match first.as_slice() {
            b"PK\x03\x04" => {}
            [0x80, ..] => return Err(refuse(TorchProblem::Legacy)),
            _ => return Err(refuse(TorchProblem::NotZip { found: first })),
        }
        let (offset, bytes) = Self::directory(source)?;
        if bytes > MAX_DIRECTORY {
            let text = format!("its directory is {bytes} bytes long; at most {MAX_DIRECTORY} are read");
            return Err(refuse(TorchProblem::Zip(text)));
        }
        Self::entries(&source.bytes(offset, bytes)?).map_err(refuse)
    }

    /// Where the directory is, and its length.
    fn directory<E>(source: &Source<'_, E>) -> Result<(u64, u64), E> {
        let start = source.length.saturating_sub(END + COMMENT);
        let tail = source.bytes(start, source.length - start)?;
        let lacks = || (source.refuse)(TorchProblem::zip("has no directory at its end: it is truncated"));
        let is_end = |at: &usize| {
            let ends = |comment: u16| at + END as usize + usize::from(comment) == tail.len();
            tail[*at..].starts_with(b"PK\x05\x06") && u16_at(&tail, at + 20).is_some_and(ends)
        };
        let at = (0..tail.len()).rev().find(is_end).ok_or_else(lacks)?;
        let plain = u32_at(&tail, at + 16).zip(u32_at(&tail, at + 12)).ok_or_else(lacks)?;
        let plain = (u64::from(plain.0), u64::from(plain.1));
        let Some(locator) = (start + at as u64).checked_sub(LOCATOR) else { return Ok(plain) };
        let locator = source.bytes(locator, LOCATOR)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(plain);
        }
        let place = u64_at(&locator, 8).ok_or_else(lacks)?;
        let record = source.bytes(place, END_64)?;
        match (record.starts_with(b"PK\x06\x06"), u64_at(&record, 48).zip(u64_at(&record, 40))) {
            (true, Some(found)) => Ok(found),
            _ => Err((source.refuse)(TorchProblem::zip("the record of a long archive is not where it should be"))),
        }
    }

    fn entries(mut directory: &[u8]) -> Result<Self, TorchProblem> {
        let mut entries = HashMap::new();
        while !directory.is_empty() {
            let (name, entry, rest) = record(directory).ok_or_else(|| TorchProblem::zip("its directory is damaged"))?;
            directory = rest;
            let name = String::from_utf8(name.to_vec()).map_err(|_| TorchProblem::zip("a name in its directory is not UTF-8"))?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(TorchProblem::Zip(format!("has two entries {name:?}")));
            }
        }
        Ok(Self(entries))
    }

    /// The entry of this name.
    pub(super) fn get(&self, name: &str) -> Option<Entry> {
        self.0.get(name).copied()
    }

    /// The entry of this name in the archive's only folder, and that folder with its slash.
    pub(super) fn find(&self, name: &str) -> Result<(&str, Entry), TorchProblem> {
        let is_it = |path: &str| path.strip_suffix(name).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'));
        let mut found = self.0.iter().filter(|(path, _)| is_it(path));
        match (found.next(), found.next()) {
            (Some((path, entry)), None) => Ok((&path[..path.len() - name.len()], *entry)),
            (None, _) => Err(TorchProblem::Zip(format!("has no {name}: it was not written by torch.save"))),
            _ => Err(TorchProblem::Zip(format!("has several {name}"))),
        }
    }

    /// Where the bytes of an entry begin.
    pub(super) fn place<E>(&self, source: &Source<'_, E>, name: &str, entry: Entry) -> Result<u64, E> {
        let refuse = |problem| (source.refuse)(problem);
        if !entry.stored {
            return Err(refuse(TorchProblem::Packed { name: name.to_owned() }));
        }
        let local = source.bytes(entry.local, LOCAL)?;
        let lengths = u16_at(&local, 26).zip(u16_at(&local, 28)).filter(|_| local.starts_with(b"PK\x03\x04"));
        let Some((name_bytes, extra)) = lengths else {
            return Err(refuse(TorchProblem::Zip(format!("{name:?} is not where the directory says"))));
        };
        // the record was read, so that its end fits
        let start = entry.local + LOCAL + u64::from(name_bytes) + u64::from(extra);
        match start.checked_add(entry.bytes).is_some_and(|end| end <= source.length) {
            true => Ok(start),
            false => Err(refuse(TorchProblem::Short)),
        }
    }
}

/// The first record of a directory: a name and an entry, and what follows.
fn record(directory: &[u8]) -> Option<(&[u8], Entry, &[u8])> {
    let fixed = directory.get(..RECORD).filter(|record| record.starts_with(b"PK\x01\x02"))?;
    let length = |at| u16_at(fixed, at).map(usize::from);
    let (name_bytes, extra_bytes, comment) = (length(28)?, length(30)?, length(32)?);
    let (name, rest) = directory[RECORD..].split_at_checked(name_bytes)?;
    let (extra, rest) = rest.split_at_checked(extra_bytes)?;
    let (_, rest) = rest.split_at_checked(comment)?;
    let (flags, method) = (u16_at(fixed, 8)?, u16_at(fixed, 10)?);
    let mut long = long_values(extra);
    // what does not fit the record is in the extra field, in this order
    let mut value = |at| match u32_at(fixed, at)? {
        u32::MAX => long.next(),
        short => Some(u64::from(short)),
    };
    let bytes = value(24)?;
    let packed = value(20)?;
    let local = value(42)?;
    let stored = flags & 1 == 0 && method == 0 && packed == bytes;
    Some((name, Entry { local, bytes, stored }, rest))
}

/// The numbers of eight bytes that an extra field has for a record.
fn long_values(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(field) = extra.get(4..4 + usize::from(length)) else { break };
        if id == 1 {
            found = field;
            break;
        }
        extra = &extra[4 + usize::from(length)..];
    }
    found.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

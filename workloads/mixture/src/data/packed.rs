//! Files of tokens, read where they are: `.bin` of integers, alone or with Megatron's index beside it, and `.npy`.

use super::{files::FileProblem, source::Integers};
use crate::MixtureError;
use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Tokens that are read at once.
const AT_ONCE: usize = 1 << 16;
/// The first bytes of Megatron-LM's index of a data set.
const MEGATRON: &[u8; 9] = b"MMIDIDX\0\0";
/// The first bytes of a `.npy` (NumPy Enhancement Proposal 1).
const NUMPY: &[u8; 6] = b"\x93NUMPY";

/// An open file of integers.
#[derive(Debug)]
pub(super) struct Packed {
    path: PathBuf,
    file: File,
    /// The byte of its first token.
    start: u64,
    width: Width,
    tokens: u64,
}

/// Bytes of a token. Signed integers are read like unsigned ones: a token is never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    fn of(bytes: usize) -> Option<Self> {
        [Self::One, Self::Two, Self::Four, Self::Eight].into_iter().find(|width| width.bytes() == bytes)
    }
}

impl Packed {
    /// Opens a `.bin` or `.npy`. `integers` says what a `.bin` holds where nothing else does.
    pub(super) fn open(path: &Path, integers: Integers) -> Result<Self, FileProblem> {
        let problem = |problem: String| FileProblem::new(path, problem);
        let mut file = File::open(path).map_err(|error| problem(error.to_string()))?;
        let size = file.metadata().map_err(|error| problem(error.to_string()))?.len();
        let (start, width) = if path.extension().is_some_and(|extension| extension == "npy") {
            numpy(&mut file).map_err(problem)?
        } else {
            let index = path.with_extension("idx");
            let width = if index.is_file() {
                megatron(&index)?
            } else {
                match integers {
                    Integers::Uint16 => Width::Two,
                    Integers::Uint32 => Width::Four,
                }
            };
            (0, width)
        };
        let bytes = size.saturating_sub(start);
        if bytes % width.bytes() as u64 != 0 {
            return Err(problem(format!("its {bytes} bytes are no whole number of tokens of {} bytes", width.bytes())));
        }
        Ok(Self { path: path.to_owned(), file, start, width, tokens: bytes / width.bytes() as u64 })
    }

    pub(super) fn len(&self) -> u64 {
        self.tokens
    }

    /// Reads the tokens from `at` on.
    pub(super) fn read(&self, at: u64, out: &mut [u32]) -> Result<(), MixtureError> {
        let error = |problem: String| MixtureError::File { file: self.path.display().to_string(), problem };
        let width = self.width.bytes();
        let mut bytes = vec![0; out.len().min(AT_ONCE) * width];
        for (index, out) in out.chunks_mut(AT_ONCE).enumerate() {
            let bytes = &mut bytes[..out.len() * width];
            let from = self.start + (at + (index * AT_ONCE) as u64) * width as u64;
            self.file.read_exact_at(bytes, from).map_err(|problem| error(problem.to_string()))?;
            for (token, bytes) in out.iter_mut().zip(bytes.chunks(width)) {
                let wide = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
                *token = u32::try_from(wide).map_err(|_| error(format!("{wide} is no token")))?;
            }
        }
        Ok(())
    }
}

/// The width of tokens that an index of Megatron-LM names: a version and one byte for the type follow the first bytes.
fn megatron(path: &Path) -> Result<Width, FileProblem> {
    let problem = |problem: &str| FileProblem::new(path, problem);
    let mut head = [0; 18];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.map_err(|error| FileProblem::new(path, error))?;
    if &head[..9] != MEGATRON || head[9..17] != 1u64.to_le_bytes() {
        return Err(problem("it is no index of Megatron-LM, version 1"));
    }
    // 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 6 float64, 7 float32, 8 uint16
    match head[17] {
        1 | 2 => Ok(Width::One),
        3 | 8 => Ok(Width::Two),
        4 => Ok(Width::Four),
        5 => Ok(Width::Eight),
        other => Err(problem(&format!("its type of tokens is {other}, which is none of integers"))),
    }
}

/// Where the numbers of a `.npy` begin, and their width.
fn numpy(file: &mut File) -> Result<(u64, Width), String> {
    let short = |error: std::io::Error| format!("its header: {error}");
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(short)?;
    if &head[..6] != NUMPY {
        return Err("it does not begin as a .npy does".into());
    }
    let (length, before) = if head[6] == 1 {
        let mut length = [0; 2];
        file.read_exact(&mut length).map_err(short)?;
        (u64::from(u16::from_le_bytes(length)), 10)
    } else {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(short)?;
        (u64::from(u32::from_le_bytes(length)), 12)
    };
    if length > 1 << 16 {
        return Err(format!("its header has {length} bytes"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let described = text.split("'descr':").nth(1).and_then(|rest| rest.split('\'').nth(1)).unwrap_or_default();
    let width = match described.trim_start_matches(['<', '|']) {
        kind if kind.starts_with(['u', 'i']) => kind[1..].parse().ok().and_then(Width::of),
        _ => None,
    };
    let width = width.ok_or_else(|| format!("its numbers are {described:?}, not little-endian integers"))?;
    if text.contains("'fortran_order': True") {
        return Err("its order is Fortran's".into());
    }
    Ok((before + length, width))
}

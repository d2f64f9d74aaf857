//! The documents of a training as tokens, and which of them each step gets.
//!
//! A token is a byte. Every rank reads all documents; a digest tells whether they read the same.

use super::{TrainError, TrainSpec};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Values of a token.
pub const VOCABULARY: usize = 256;

/// All sequences that a training may draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    sequences: Vec<Vec<u8>>,
}

impl Corpus {
    /// Reads the documents of a spec, and cuts those longer than its context.
    ///
    /// # Errors
    /// [`TrainError::Document`] for a path that cannot be read, [`TrainError::NoDocuments`] when nothing is in them.
    pub fn read(spec: &TrainSpec) -> Result<Self, TrainError> {
        let mut texts = vec![];
        for path in &spec.documents {
            read_path(path, &mut texts)?;
        }
        let corpus = Self::new(&texts, spec.context);
        if corpus.sequences.is_empty() {
            let places: Vec<String> = spec.documents.iter().map(|path| path.display().to_string()).collect();
            return Err(TrainError::NoDocuments { places: places.join(", ") });
        }
        Ok(corpus)
    }

    /// The sequences of these documents. One byte alone predicts nothing and is left out.
    fn new(texts: &[Vec<u8>], context: usize) -> Self {
        let pieces = texts.iter().flat_map(|text| text.chunks(context)).filter(|piece| piece.len() > 1);
        Self { sequences: pieces.map(<[u8]>::to_vec).collect() }
    }

    /// What is the same exactly where the sequences are.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for sequence in &self.sequences {
            hasher.update(&(sequence.len() as u64).to_le_bytes());
            hasher.update(sequence);
        }
        *hasher.finalize().as_bytes()
    }

    /// How many sequences there are.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// A sequence.
    pub fn sequence(&self, index: usize) -> &[u8] {
        &self.sequences[index]
    }

    /// The sequences of a step. Each epoch goes through all of them once, in an order of its own.
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Vec<usize> {
        let (count, size) = (self.sequences.len() as u64, size as u64);
        let mut batch = vec![];
        let mut order: Option<(u64, Vec<usize>)> = None;
        for place in step * size..(step + 1) * size {
            let epoch = place / count;
            if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                order = Some((epoch, self.order(seed, epoch)));
            }
            batch.extend(order.as_ref().map(|(_, order)| order[(place % count) as usize]));
        }
        batch
    }

    fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let key = [seed as u32, (seed >> 32) as u32];
        let word = |index: usize| braid_kernels::philox4x32([index as u32, epoch as u32, (epoch >> 32) as u32, 0x6f72_6465], key);
        let mut order: Vec<usize> = (0..self.sequences.len()).collect();
        order.sort_by_cached_key(|&index| (word(index), index));
        order
    }
}

fn read_path(path: &Path, texts: &mut Vec<Vec<u8>>) -> Result<(), TrainError> {
    let problem = |problem: String| TrainError::Document { path: path.to_owned(), problem };
    let io = |error: std::io::Error| problem(error.to_string());
    if fs::metadata(path).map_err(io)?.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()).map_err(io)?;
        entries.sort();
        return entries.iter().try_for_each(|entry| read_path(entry, texts));
    }
    let bytes = fs::read(path).map_err(io)?;
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        texts.push(bytes);
        return Ok(());
    }
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|error| problem(format!("line {}: {error}", number + 1)))?;
        texts.push(line.text.into_bytes());
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct Line {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn documents_are_cut_at_the_context_and_a_lone_byte_is_left_out() {
        let corpus = Corpus::new(&[b"abcdefg".to_vec(), b"x".to_vec(), b"yz".to_vec()], 3);
        assert_eq!(corpus.sequences, [b"abc".to_vec(), b"def".to_vec(), b"yz".to_vec()]);
    }

    #[test]
    fn an_epoch_goes_through_all_sequences_once() {
        let texts: Vec<Vec<u8>> = (0..10).map(|index| vec![index; 5]).collect();
        let corpus = Corpus::new(&texts, 8);
        let seen: Vec<usize> = (0..5).flat_map(|step| corpus.batch(3, step, 4)).collect();
        assert_eq!(seen[..10].iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(seen[10..].iter().collect::<BTreeSet<_>>().len(), 10);
        assert_ne!(seen[..10], seen[10..], "epochs differ in order");
        assert_eq!(corpus.batch(3, 2, 4), seen[8..12], "a step gets the same again");
    }

    #[test]
    fn files_folders_and_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("b")).unwrap();
        fs::write(path.join("b/two.txt"), "two").unwrap();
        fs::write(path.join("a.jsonl"), "{\"text\": \"one\"}\n\n{\"text\": \"uno\", \"id\": 3}\n").unwrap();
        let mut texts = vec![];
        read_path(path, &mut texts).unwrap();
        assert_eq!(texts, [b"one".to_vec(), b"uno".to_vec(), b"two".to_vec()]);
        fs::write(path.join("a.jsonl"), "{\"text\": 1}").unwrap();
        let error = read_path(path, &mut texts).unwrap_err().to_string();
        assert!(error.contains("a.jsonl: line 1"), "{error}");
    }
}

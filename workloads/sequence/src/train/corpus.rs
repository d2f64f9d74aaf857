//! The documents of a training as tokens, and which of them each step gets.
//!
//! Every rank reads all documents; a digest tells whether they read the same.

use super::{Tokenizer, TrainError, TrainSpec};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// All sequences that a training may draw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Corpus {
    /// Of all sequences, one after the other.
    tokens: Vec<u32>,
    /// Where each sequence ends.
    ends: Vec<usize>,
    documents: usize,
    left_out: usize,
}

impl Corpus {
    /// Reads the documents of a spec, and cuts those longer than its context.
    ///
    /// # Errors
    /// [`TrainError::Document`] for a path that cannot be read, [`TrainError::NoDocuments`] when nothing is in them.
    pub fn read(spec: &TrainSpec, tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let mut corpus = Self::default();
        for path in &spec.documents {
            read_path(path, &mut |text| {
                corpus.add(&tokenizer.encode(text)?, spec.context);
                Ok(())
            })?;
        }
        if corpus.is_empty() {
            let places: Vec<String> = spec.documents.iter().map(|path| path.display().to_string()).collect();
            return Err(TrainError::NoDocuments { places: places.join(", ") });
        }
        Ok(corpus)
    }

    /// The sequences of one more document. One token alone predicts nothing and is left out.
    fn add(&mut self, document: &[u32], context: usize) {
        self.documents += 1;
        self.left_out += usize::from(document.len() < 2);
        for piece in document.chunks(context).filter(|piece| piece.len() > 1) {
            self.tokens.extend_from_slice(piece);
            self.ends.push(self.tokens.len());
        }
    }

    /// What is the same exactly where the sequences are.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for index in 0..self.len() {
            let sequence = self.sequence(index);
            hasher.update(&(sequence.len() as u64).to_le_bytes());
            sequence.iter().for_each(|token| {
                hasher.update(&token.to_le_bytes());
            });
        }
        *hasher.finalize().as_bytes()
    }

    /// How many sequences there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A sequence.
    pub fn sequence(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[start..self.ends[index]]
    }

    /// The sequences of a step. Each epoch goes through all of them once, in an order of its own.
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Vec<usize> {
        let (count, size) = (self.len() as u64, size as u64);
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
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_cached_key(|&index| (word(index), index));
        order
    }
}

impl fmt::Display for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} documents", self.documents)?;
        if self.left_out > 0 {
            write!(f, ", {} of them left out as too short", self.left_out)?;
        }
        write!(f, ": {} sequences, {} tokens", self.len(), self.tokens.len())
    }
}

/// Hands over each document under a path; an error of `take` is one of that document.
fn read_path(path: &Path, take: &mut impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), TrainError> {
    let problem = |problem: String| TrainError::Document { path: path.to_owned(), problem };
    let io = |error: std::io::Error| problem(error.to_string());
    if fs::metadata(path).map_err(io)?.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()).map_err(io)?;
        entries.sort();
        return entries.iter().try_for_each(|entry| read_path(entry, take));
    }
    let bytes = fs::read(path).map_err(io)?;
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return take(&bytes).map_err(problem);
    }
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let problem = |error: String| problem(format!("line {}: {error}", number + 1));
        let line: Line = serde_json::from_slice(line)
            // A line of its own: its number there is always 1.
            .map_err(|error| problem(error.to_string().replace(" at line 1 ", " at ")))?;
        take(line.text.as_bytes()).map_err(problem)?;
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
    fn documents_are_cut_at_the_context_and_a_lone_token_is_left_out() {
        let mut corpus = Corpus::default();
        for document in [&[1, 2, 3, 4, 5, 6, 7][..], &[8], &[], &[9, 10]] {
            corpus.add(document, 3);
        }
        let sequences: Vec<&[u32]> = (0..corpus.len()).map(|index| corpus.sequence(index)).collect();
        assert_eq!(sequences, [&[1, 2, 3][..], &[4, 5, 6], &[9, 10]]);
        assert_eq!(corpus.to_string(), "4 documents, 2 of them left out as too short: 3 sequences, 8 tokens");
    }

    #[test]
    fn an_epoch_goes_through_all_sequences_once() {
        let mut corpus = Corpus::default();
        (0..10).for_each(|index| corpus.add(&[index; 5], 8));
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
        let mut take = |text: &[u8]| {
            texts.push(text.to_vec());
            Ok(())
        };
        read_path(path, &mut take).unwrap();
        assert_eq!(texts, [b"one".to_vec(), b"uno".to_vec(), b"two".to_vec()]);
        fs::write(path.join("a.jsonl"), "{\"text\": 1}").unwrap();
        let error = read_path(path, &mut |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("a.jsonl: line 1"), "{error}");
        fs::write(path.join("a.jsonl"), "{\"text\": \"a\"}\n{\"text\": \"b\"}").unwrap();
        let refuse = |text: &[u8]| if text == b"b" { Err("no b".to_owned()) } else { Ok(()) };
        let error = read_path(path, &mut { refuse }).unwrap_err().to_string();
        assert!(error.ends_with("a.jsonl: line 2: no b"), "{error}");
    }
}

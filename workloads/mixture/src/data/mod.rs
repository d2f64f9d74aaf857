//! The data that is mixed: each domain's tokens, which of them are held out, and which sequence comes at which draw.
//!
//! ```text
//! files ─ files.rs, text.rs, packed.rs ─ one stream of tokens a domain ─ split.rs: blocks for training, validation, test
//!                                                                       └ draw n of (seed, domain) ─ shuffle.rs ─ a sequence
//! ```
//!
//! A sequence depends on (seed, domain, number of the draw) alone. Proportions only decide how the domains' draws interleave:
//! two runs of one seed that differ in their proportions see the same sequences of a domain in the same order (common random
//! numbers). Nothing here knows a trainer, and the number of workers changes nothing.

mod files;
mod packed;
mod shuffle;
mod source;
mod split;
mod text;

pub use source::{DomainSource, Integers};
pub use split::{Part, Split};

use crate::{Domains, MixtureError};
use shuffle::Shuffle;
use split::Blocks;

/// The tokens of all domains, ready to be drawn from.
#[derive(Debug)]
pub struct Data {
    domains: Domains,
    streams: Vec<Stream>,
    context: usize,
}

/// One domain.
#[derive(Debug)]
struct Stream {
    tokens: files::Tokens,
    blocks: Blocks,
    /// Of its name: other domains do not change its order.
    key: u32,
}

/// How much of a domain there is, in tokens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// The domain.
    pub domain: String,
    /// For training.
    pub training: u64,
    /// Held out for decisions.
    pub validation: u64,
    /// Held out for the final figure.
    pub test: u64,
}

impl Data {
    /// Reads or opens the files of all domains. Sequences have `context` tokens to guess, and one before them.
    ///
    /// # Errors
    /// A file that cannot be read or is not what its name says; a domain with no data, with less than its cap, or with too few
    /// blocks to hold some out.
    pub fn open(domains: &Domains, sources: &[DomainSource], split: &Split, context: usize) -> Result<Self, MixtureError> {
        domains.check_len("sources", sources.len())?;
        split.check(context)?;
        let streams = domains.names().iter().zip(sources).map(|(name, source)| Stream::open(name, source, split, context));
        Ok(Self { domains: domains.clone(), streams: streams.collect::<Result<_, _>>()?, context })
    }

    /// The names of the domains.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// Tokens to guess in a sequence.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens for training, by domain.
    pub fn sizes(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.blocks.tokens(Part::Training)).collect()
    }

    /// How much there is of each domain.
    pub fn amounts(&self) -> Vec<Amount> {
        let amount = |(name, stream): (&String, &Stream)| Amount {
            domain: name.clone(),
            training: stream.blocks.tokens(Part::Training),
            validation: stream.blocks.tokens(Part::Validation),
            test: stream.blocks.tokens(Part::Test),
        };
        self.domains.names().iter().zip(&self.streams).map(amount).collect()
    }

    /// What is the same exactly where the text is; of files of tokens, where their sizes and first sequences are.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn digest(&self) -> Result<String, MixtureError> {
        let mut hasher = blake3::Hasher::new();
        self.streams.iter().try_for_each(|stream| stream.tokens.digest(&mut hasher, self.context + 1))?;
        Ok(hasher.finalize().to_string())
    }

    /// The sequence that a run of this seed gets at a domain's `draw`-th draw, counted from 0: `context + 1` tokens. Each epoch
    /// goes through all sequences once, in an order of its own.
    ///
    /// # Errors
    /// No such domain, or a file that cannot be read any more.
    pub fn draw(&self, seed: u64, domain: usize, draw: u64) -> Result<Vec<u32>, MixtureError> {
        let stream = self.stream(domain)?;
        let sequences = stream.blocks.sequences(Part::Training);
        let (epoch, place) = (draw / sequences, draw % sequences);
        let order = Shuffle::new(sequences, [seed, epoch], stream.key);
        self.sequence(stream, Part::Training, order.at(place))
    }

    /// How many held-out sequences a domain has, `most` at most.
    ///
    /// # Errors
    /// No such domain.
    pub fn held_out(&self, part: Part, domain: usize, most: u64) -> Result<u64, MixtureError> {
        Ok(self.stream(domain)?.blocks.sequences(part).min(most))
    }

    /// A held-out sequence of `context + 1` tokens: the same for every run. The first few are spread over all held-out blocks.
    ///
    /// # Errors
    /// No such domain, or a file that cannot be read any more.
    pub fn held_out_sequence(&self, part: Part, domain: usize, index: u64) -> Result<Vec<u32>, MixtureError> {
        let stream = self.stream(domain)?;
        let order = Shuffle::new(stream.blocks.sequences(part), [u64::MAX, part as u64], stream.key);
        self.sequence(stream, part, order.at(index))
    }

    fn sequence(&self, stream: &Stream, part: Part, index: u64) -> Result<Vec<u32>, MixtureError> {
        let mut tokens = vec![0; self.context + 1];
        stream.tokens.read(stream.blocks.start(part, index), &mut tokens)?;
        Ok(tokens)
    }

    fn stream(&self, domain: usize) -> Result<&Stream, MixtureError> {
        self.streams.get(domain).ok_or_else(|| MixtureError::Domains(format!("there is no domain number {domain}")))
    }
}

impl Stream {
    fn open(name: &str, source: &DomainSource, split: &Split, context: usize) -> Result<Self, MixtureError> {
        let data = |problem: String| MixtureError::Data { domain: name.to_owned(), problem };
        let mut tokens = files::Tokens::open(source).map_err(|error| error.of_domain(name))?;
        if tokens.len() == 0 {
            let places: Vec<_> = source.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(data(format!("there is no data in {}", places.join(", "))));
        }
        if let Some(cap) = source.cap {
            if tokens.len() < cap {
                return Err(data(format!("it has {} tokens, fewer than its cap of {cap}", tokens.len())));
            }
            tokens.truncate(cap);
        }
        let key = shuffle::key_of(name);
        let blocks = Blocks::new(tokens.len(), split, context, key).map_err(data)?;
        Ok(Self { tokens, blocks, key })
    }
}

#[cfg(test)]
mod tests;

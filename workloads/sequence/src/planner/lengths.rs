//! Sequence lengths: read from text, rounded for the cluster, the overlong dropped and counted.
//!
//! A file holds one length a line and nothing else: no comments and no blank lines, so that the index of a sequence in a
//! plan is the number of its line (from 0), whatever wrote the file.

use super::Tokens;
use crate::{LengthProblem, SequenceError};
use std::num::IntErrorKind;

/// The longest sequence that is accepted: 2^27 tokens, beyond which sums of squares leave 64 bits.
pub const MAX_LENGTH: u64 = 1 << 27;

/// Reads `text` (the content of `file`, named in errors): one length in tokens a line.
///
/// # Errors
/// The first line that is no length between 1 and [`MAX_LENGTH`].
pub fn parse_lengths(file: &str, text: &str) -> Result<Vec<Tokens>, SequenceError> {
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            parse_length(line.trim()).map_err(|problem| SequenceError::Lengths { file: file.into(), line: i + 1, problem })
        })
        .collect()
}

fn parse_length(word: &str) -> Result<Tokens, LengthProblem> {
    match word.parse::<u64>() {
        Ok(0) => Err(LengthProblem::Zero),
        Ok(n) if n > MAX_LENGTH => Err(LengthProblem::TooLarge(word.into())),
        Ok(n) => Ok(Tokens(n)),
        Err(e) => Err(match e.kind() {
            IntErrorKind::Empty => LengthProblem::Blank,
            IntErrorKind::PosOverflow => LengthProblem::TooLarge(word.into()),
            _ if word.strip_prefix('-').is_some_and(is_number) => LengthProblem::Negative(word.into()),
            _ => LengthProblem::NotANumber(word.into()),
        }),
    }
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

/// One sequence of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Its index in the input.
    pub index: usize,
    /// Its length as planned for: rounded up.
    pub tokens: Tokens,
}

/// The sequences of one step (a global batch), ready to be planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Those to be trained on, in the order of the input.
    pub sequences: Vec<Sequence>,
    /// The indices of those that were dropped for being longer than the context.
    pub dropped: Vec<usize>,
}

impl Batch {
    /// All of `lengths`, as they are.
    #[must_use]
    pub fn exact(lengths: &[Tokens]) -> Self {
        let sequences = lengths.iter().enumerate().map(|(index, &tokens)| Sequence { index, tokens }).collect();
        Self { sequences, dropped: Vec::new() }
    }

    /// Drops what is longer than `context` and rounds the rest up, as FlexSP does on `world` GPUs: each length becomes a
    /// multiple of 2·`world` (both halves of a causal mask split evenly over the largest group), and a sequence longer
    /// than `context` − 2·`world` is dropped, so that none exceeds the context after rounding.
    #[must_use]
    pub fn for_context(lengths: &[Tokens], context: Tokens, world: u32) -> Self {
        let unit = 2 * u64::from(world.max(1));
        let limit = context.0.saturating_sub(unit);
        let mut batch = Self::default();
        for (index, &Tokens(n)) in lengths.iter().enumerate() {
            if n > limit {
                batch.dropped.push(index);
            } else {
                batch.sequences.push(Sequence { index, tokens: Tokens(n.next_multiple_of(unit)) });
            }
        }
        batch
    }

    /// The sum of all planned lengths.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.sequences.iter().map(|s| s.tokens).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, LengthProblem) {
        match parse_lengths("lengths.txt", text).unwrap_err() {
            SequenceError::Lengths { line, problem, .. } => (line, problem),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_file_holds_one_length_a_line() {
        assert_eq!(parse_lengths("f", "7\n 12 \r\n3").unwrap(), [Tokens(7), Tokens(12), Tokens(3)]);
        assert_eq!(parse_lengths("f", "").unwrap(), []);
    }

    #[test]
    fn what_is_no_length_is_told_with_its_line() {
        assert_eq!(problem("5\nfive\n"), (2, LengthProblem::NotANumber("five".into())));
        assert_eq!(problem("5\n\n6\n"), (2, LengthProblem::Blank));
        assert_eq!(problem("0\n"), (1, LengthProblem::Zero));
        assert_eq!(problem("1\n2\n-3\n"), (3, LengthProblem::Negative("-3".into())));
        assert_eq!(problem("1.5"), (1, LengthProblem::NotANumber("1.5".into())));
        assert_eq!(problem("# a comment"), (1, LengthProblem::NotANumber("# a comment".into())));
        assert_eq!(problem("134217729").0, 1);
        assert_eq!(problem("99999999999999999999999"), (1, LengthProblem::TooLarge("99999999999999999999999".into())));
        let text = parse_lengths("l.txt", "8\nx").unwrap_err().to_string();
        assert_eq!(text, "l.txt, line 2: expected a length in tokens (a whole number), found \"x\"");
    }

    #[test]
    fn lengths_are_rounded_and_the_overlong_dropped_before_rounding() {
        let lengths = [1, 128, 129, 3_872, 3_873, 4_000].map(Tokens);
        let batch = Batch::for_context(&lengths, Tokens(4_000), 64);
        let planned: Vec<_> = batch.sequences.iter().map(|s| (s.index, s.tokens.0)).collect();
        assert_eq!(planned, [(0, 128), (1, 128), (2, 256), (3, 3_968)]);
        assert_eq!(batch.dropped, [4, 5]);
    }
}

//! What `braid plan` reads, and what it says of input that cannot be planned: always with the file and the line.

use crate::{
    error::{Error, Result},
    exit::Exit,
    planning::{self, Named, Question},
};
use braid_sequence::{
    SequenceError,
    planner::{Cluster, ModelProfile, Tokens, parse_lengths},
    train::Profile,
};
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// No file of lengths is longer; a data set given by mistake is.
const LONGEST_LENGTHS: u64 = 64 << 20;
/// No profile is longer.
const LONGEST_PROFILE: u64 = 1 << 20;

/// How messages name the file of lengths.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

/// The length on each line.
pub(super) fn lengths(path: &Path) -> Result<Vec<Tokens>> {
    let file = shown(path);
    let text = if path == Path::new("-") { text(io::stdin().lock(), LONGEST_LENGTHS) } else { open(path, LONGEST_LENGTHS) };
    let text = text.map_err(|error| Error::usage(format!("cannot read the lengths in {file}: {error}")))?;
    let lengths = parse_lengths(&file, &text).map_err(|error| Error::usage(error.to_string()).with_hint(ONE_A_LINE))?;
    if lengths.is_empty() {
        return Err(Error::usage(format!("{file} holds no lengths")).with_hint(ONE_A_LINE));
    }
    Ok(lengths)
}

const ONE_A_LINE: &str =
    "one length a line, in tokens, and nothing else: the line's number, from 0, is the sequence's name in the plan";

/// A built-in profile by its name, or what a file says.
pub(super) fn profile<T: Named>(word: &str) -> Result<T> {
    let usage = |error: SequenceError| Error::usage(error.to_string());
    if T::NAMES.contains(&word) {
        return T::built_in(word).map_err(usage);
    }
    let path = Path::new(word);
    match open(path, LONGEST_PROFILE) {
        Ok(text) => T::parse(word, &text).map_err(usage),
        // A bare word was meant as a name.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.extension().is_none() && path.components().count() == 1 => {
            let (message, hint) = planning::unknown::<T>(word);
            Err(Error::usage(message).with_hint(hint))
        }
        Err(error) => Err(Error::usage(format!("cannot read the {} file {word}: {error}", T::WHAT))),
    }
}

/// The cluster and the model of a file that `braid profile` has written.
pub(super) fn measured(path: &Path) -> Result<(Cluster, ModelProfile)> {
    let file = path.display();
    let text = open(path, LONGEST_PROFILE).map_err(|error| Error::usage(format!("cannot read the profile {file}: {error}")))?;
    let Profile { cluster, model } = Profile::parse(&file.to_string(), &text).map_err(|error| Error::usage(error.to_string()))?;
    Ok((cluster, model))
}

fn open(path: &Path, longest: u64) -> io::Result<String> {
    text(File::open(path)?, longest)
}

fn text(from: impl io::Read, longest: u64) -> io::Result<String> {
    let mut text = String::new();
    from.take(longest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {} MiB", longest >> 20)));
    }
    Ok(text)
}

/// Why the step cannot be planned, in terms of the file and the command line.
pub(super) fn refusal(error: &SequenceError, question: &Question, file: &str) -> Error {
    match error {
        SequenceError::TooLong { index, tokens, degree, class, capacity, excess } => {
            let length = question.lengths.get(*index).copied().unwrap_or(*tokens);
            let message = format!(
                "{file}, line {}: a sequence of {length} tokens (planned as {tokens}) does not fit: the largest group, {degree} GPUs of \
                 class {class}, holds {capacity}, which is {} tokens or {excess} of activations too few",
                index + 1,
                tokens.0.saturating_sub(capacity.0)
            );
            Error::usage(message).with_hint("shorten it, drop such sequences with --context TOKENS, or use more GPUs or memory")
        }
        SequenceError::Empty { dropped } => {
            let context = question.context.unwrap_or_default();
            let kept = planning::longest_kept(&question.cluster, context);
            let message = format!(
                "{file}: nothing is left to plan: a context of {context} tokens keeps sequences up to {kept}, and all {dropped} are longer"
            );
            Error::usage(message).with_hint("give a larger --context, or leave it out to keep every sequence")
        }
        SequenceError::NoPlan { .. } => Error::new(Exit::JobFailed, error.to_string()),
        _ => Error::usage(error.to_string()),
    }
}

//! Clusters and models by name.

use braid_sequence::{
    SequenceError,
    planner::{Cluster, ModelProfile},
};

/// A cluster or a model: what is built in under a name, and otherwise a YAML text.
pub(crate) trait Named: Sized {
    /// The word for one.
    const WHAT: &'static str;
    /// The names of those that are built in.
    const NAMES: &'static [&'static str];

    /// One of those.
    fn built_in(name: &str) -> Result<Self, SequenceError>;

    /// Reads one from the text of the file `name`.
    fn parse(name: &str, text: &str) -> Result<Self, SequenceError>;
}

impl Named for Cluster {
    const WHAT: &'static str = "cluster";
    const NAMES: &'static [&'static str] = Self::BUILT_IN;

    fn built_in(name: &str) -> Result<Self, SequenceError> {
        Self::built_in(name)
    }

    fn parse(name: &str, text: &str) -> Result<Self, SequenceError> {
        Self::parse(name, text)
    }
}

impl Named for ModelProfile {
    const WHAT: &'static str = "model";
    const NAMES: &'static [&'static str] = Self::BUILT_IN;

    fn built_in(name: &str) -> Result<Self, SequenceError> {
        Self::built_in(name)
    }

    fn parse(name: &str, text: &str) -> Result<Self, SequenceError> {
        Self::parse(name, text)
    }
}

/// That there is none of this name, and which one was meant.
pub(crate) fn unknown<T: Named>(name: &str) -> (String, String) {
    let message = format!("there is no built-in {} called {name:?} (built in: {})", T::WHAT, T::NAMES.join(", "));
    let hint = match nearest(name, T::NAMES) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("give one of these, or a {} file", T::WHAT),
    };
    (message, hint)
}

/// The known name that differs in few letters.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // Longer than any name; the cost is quadratic.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(&name, known), *known));
    near.filter(|(distance, _)| *distance <= 2).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        for (name, meant) in
            [("gpt-7B", Some("gpt-7b")), ("gpt7b", Some("gpt-7b")), ("gtp-30b", Some("gpt-30b")), ("llama", None)]
        {
            assert_eq!(nearest(name, ModelProfile::NAMES), meant, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), ModelProfile::NAMES), None);
        let (message, hint) = unknown::<Cluster>("a100x46");
        assert_eq!(message, "there is no built-in cluster called \"a100x46\" (built in: a100x64)");
        assert_eq!(hint, "did you mean a100x64?");
    }
}

//! Where the drawing goes, and its heading.

use crate::{
    error::{Error, Result},
    planning::{Answer, Question},
};
use braid_sequence::gantt;
use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A file to draw into, by its ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Drawing {
    Svg(PathBuf),
    Png(PathBuf),
}

impl FromStr for Drawing {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg(path)),
            Some("png") => Ok(Self::Png(path)),
            _ => Err("a drawing ends in .svg or .png".into()),
        }
    }
}

impl Drawing {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Svg(path) | Self::Png(path) => path,
        }
    }

    /// Draws the plan.
    pub(super) fn write(&self, question: &Question, answer: &Answer) -> Result {
        let heading = format!(
            "{} on {}: {} sequences in {} micro-batches",
            question.model.name,
            question.cluster.name,
            answer.plan.sequences(),
            answer.plan.micro_batches.len()
        );
        let bytes = match self {
            Self::Svg(_) => gantt::svg(&answer.plan, &heading).into_bytes(),
            Self::Png(_) => gantt::png(&answer.plan, &heading),
        };
        fs::write(self.path(), bytes)
            .map_err(|error| Error::unavailable(format!("cannot write the drawing {}: {error}", self.path().display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_to_draw() {
        assert_eq!("a/b.svg".parse(), Ok(Drawing::Svg("a/b.svg".into())));
        assert_eq!("B.PNG".parse(), Ok(Drawing::Png("B.PNG".into())));
        for text in ["plan", "plan.pdf", ".svg", ""] {
            assert!(text.parse::<Drawing>().is_err(), "{text}");
        }
    }
}

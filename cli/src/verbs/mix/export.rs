//! `braid mix export`: a mixture document as a trainer reads it.

use crate::{
    console::Console,
    error::{Error, Result},
    units,
};
use braid_mixture::{
    MixtureError,
    document::{
        Document,
        export::{Shape, Trainer, export},
    },
};
use std::{fs, num::NonZeroU64, path::PathBuf};

/// Write a mixture document as the configuration of a trainer
///
/// What a trainer cannot do is an error and not left out: most know one mixture for the whole run, and each reads some formats only.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The mixture document: domains, schedule, caps, batch rule and seed, as YAML or JSON
    document: PathBuf,
    /// Who is to read it
    #[arg(long, value_enum, value_name = "TRAINER")]
    to: To,
    /// Tokens of a sequence
    #[arg(long, value_name = "N", default_value = "4096", value_parser = units::positive::<NonZeroU64>)]
    sequence: NonZeroU64,
    /// Sequences of a batch
    #[arg(long, value_name = "N", default_value = "1024", value_parser = units::positive::<NonZeroU64>)]
    batch: NonZeroU64,
}

/// The trainers by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum To {
    /// Arguments of Megatron-LM
    Megatron,
    /// Python for the library datasets of Hugging Face
    HuggingFace,
    /// JSON for MosaicML Streaming
    Streaming,
    /// YAML for OLMo-core
    OlmoCore,
    /// YAML for Levanter
    Levanter,
    /// Python for torchtitan
    Torchtitan,
    /// YAML for Olmix
    Olmix,
}

impl From<To> for Trainer {
    fn from(to: To) -> Self {
        match to {
            To::Megatron => Self::Megatron,
            To::HuggingFace => Self::HuggingFace,
            To::Streaming => Self::Streaming,
            To::OlmoCore => Self::OlmoCore,
            To::Levanter => Self::Levanter,
            To::Torchtitan => Self::Torchtitan,
            To::Olmix => Self::Olmix,
        }
    }
}

pub(super) fn run(args: &ExportArgs, console: &Console) -> Result {
    let name = args.document.display().to_string();
    let text =
        fs::read_to_string(&args.document).map_err(|error| Error::usage(format!("cannot read the document {name}: {error}")))?;
    let wrong = |error: MixtureError| {
        // What is wrong with the YAML has the file's name already.
        let message = error.to_string();
        let message = if message.starts_with(&name) { message } else { format!("{name}: {message}") };
        Error { exit: crate::exit::Exit::Usage, message, hint: error.hint().map(str::to_owned) }
    };
    let document = Document::read(&name, &text).map_err(wrong)?;
    let shape = Shape { sequence: args.sequence.get(), batch: args.batch.get() };
    let text = export(&document, args.to.into(), shape).map_err(wrong)?;
    console.data(&text)
}

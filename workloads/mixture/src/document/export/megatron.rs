//! Arguments of Megatron-LM, as a shell takes them: `pretrain_gpt.py $(cat FILE) …`.

use super::{Document, Format, MixtureError, Shape, demand_formats, only};
use std::fmt::Write;

pub(super) fn write(document: &Document, shape: Shape) -> Result<String, MixtureError> {
    let mixture = only(document, "export to megatron")?;
    demand_formats(document, "export to megatron", "bin, which it reads with the idx beside it", &[Format::Bin])?;
    let mut text = String::from("--data-path");
    for (source, share) in mixture {
        let prefix = source.uri.strip_suffix(".bin").unwrap_or(&source.uri);
        let _ = write!(text, "\n{share} {prefix}");
    }
    let _ = write!(text, "\n--seq-length {}\n--global-batch-size {}\n--seed {}\n", shape.sequence, shape.batch, document.seed);
    if let Some(tokens) = document.tokens {
        let _ = writeln!(text, "--train-samples {}", tokens / shape.sequence.max(1));
    }
    Ok(text)
}

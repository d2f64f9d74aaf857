//! Where in a trace something happens, as W3C's header `traceparent` says it. Text and nothing else: it can be kept in records
//! and handed on by a build that makes no traces itself.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The length of a header of version 0.
const LENGTH: usize = 55;

/// The place of a span in its trace: `00-<trace, 32 digits>-<span, 16 digits>-<flags, 2 digits>`, hexadecimal.
///
/// Source: W3C Trace Context, level 1, section 3.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext(Box<str>);

/// What is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: expected 00-<32 hexadecimal digits>-<16>-<2>, neither number being zero")]
pub struct NotATraceparent;

impl FromStr for TraceContext {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let fields: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = fields[..] else { return Err(NotATraceparent) };
        let digits = |field: &str, count| {
            field.len() == count && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
        let holds = text.len() == LENGTH
            && version == "00"
            && digits(trace, 32)
            && digits(span, 16)
            && digits(flags, 2)
            && !is_zero(trace)
            && !is_zero(span);
        if holds { Ok(Self(text.into())) } else { Err(NotATraceparent) }
    }
}

impl TryFrom<String> for TraceContext {
    type Error = NotATraceparent;

    fn try_from(text: String) -> Result<Self, NotATraceparent> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.0.into()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_back() {
        assert_eq!(EXAMPLE.parse::<TraceContext>().unwrap().to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_none_is_refused() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let upper = EXAMPLE.to_uppercase();
        let later = EXAMPLE.replacen("00", "ff", 1);
        let longer = format!("{EXAMPLE}-");
        for text in ["", "00", "00---", &zero_trace, &zero_span, &upper, &later, &longer, &EXAMPLE[1..]] {
            assert_eq!(text.parse::<TraceContext>(), Err(NotATraceparent), "{text}");
        }
    }
}

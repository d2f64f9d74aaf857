//! The deadline of a call, from its `grpc-timeout` header. The server sees to it for single answers; for streams it ends
//! with the first header, so the stream itself has to look.

use std::time::Duration;
use tonic::{Status, metadata::MetadataMap};

/// For calls that set none: longer than any training.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long the call may take from now.
pub(super) fn of(metadata: &MetadataMap) -> Result<Duration, Status> {
    let Some(value) = metadata.get("grpc-timeout") else { return Ok(NEVER) };
    let text = value.to_str().ok();
    text.and_then(parse).ok_or_else(|| Status::invalid_argument(format!("grpc-timeout {value:?} is no time such as 500m or 30S")))
}

/// Up to eight digits and a unit, as the protocol has it.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let time = match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    };
    Some(time.min(NEVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        for (text, time) in [
            ("30S", Some(Duration::from_secs(30))),
            ("500m", Some(Duration::from_millis(500))),
            ("99999999H", Some(NEVER)),
            ("1u", Some(Duration::from_micros(1))),
            ("123456789n", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-5S", None),
            ("5ü", None),
        ] {
            assert_eq!(parse(text), time, "{text}");
        }
        assert_eq!(of(&MetadataMap::new()).unwrap(), NEVER);
    }
}

//! Sizes and durations as people type and read them.

use bytesize::ByteSize;
use std::{num::NonZeroUsize, str::FromStr, time::Duration};

/// Reads `256MiB`, `5GB` or a plain number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(0)) => Err("0 bytes leave no room for anything".into()),
        Ok(ByteSize(u64::MAX)) | Err(_) => Err("not a size such as 256MiB, 5GB or a number of bytes".into()),
        Ok(size) => Ok(size.0),
    }
}

/// Reads `500ms`, `30s`, `5m`, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| "not a duration such as 500ms, 30s or 5m".into())
}

/// Reads a whole number of at least 0.
pub(crate) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| too_large_or(text, "not a whole number of 0 or more"))
}

/// Reads a whole number of at least 1.
pub(crate) fn positive<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| too_large_or(text, "not a whole number of 1 or more"))
}

/// Reads a number, with a point where it needs one.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "not a number such as 0.5".into())
}

/// What is wrong with a number that is none of its type.
fn too_large_or(text: &str, otherwise: &str) -> String {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte != b'0');
    if digits { "too large a number".into() } else { otherwise.into() }
}

/// Reads a number of threads.
pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a number of threads, which is at least 1".into())
}

/// Reads `rack=7`: a name and a value.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    const MOST: usize = 256;
    let (name, value) = text.split_once('=').ok_or("not a label such as rack=7")?;
    if name.is_empty() || text.len() > MOST || text.chars().any(char::is_control) {
        return Err(format!("a label has a name, at most {MOST} bytes and no control characters"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `514.3 MB`: decimal units, as disks and transformers count.
pub(crate) fn show_bytes(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// `1.2 s` below a minute, `3m 20s` above: as exact as a person cares.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 59.5 {
        format!("{seconds:.0} s")
    } else {
        humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
    }
}

/// `2026-11-23T18:24:00Z` of milliseconds since 1970.
pub(crate) fn show_time(unix_millis: u64) -> String {
    // A date past the year 9999 has no RFC 3339 form; a peer may send one.
    const LAST: u64 = 253_402_300_799_000;
    let at = std::time::UNIX_EPOCH + Duration::from_millis(unix_millis.min(LAST) / 1000 * 1000);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_families_of_units() {
        for (text, bytes) in
            [("256MiB", 256 << 20), ("5GB", 5_000_000_000), ("1.5 KiB", 1536), ("4096", 4096), ("2gb", 2_000_000_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "5 parsecs", "-1", "0", "0MB", "99999999999EiB", "MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_said_in_words() {
        assert_eq!((whole::<u64>("7"), positive::<NonZeroUsize>("7").map(NonZeroUsize::get)), (Ok(7), Ok(7)));
        for text in ["", "x", "-1", "1.5", "1e3"] {
            assert_eq!(whole::<u32>(text).unwrap_err(), "not a whole number of 0 or more", "{text:?}");
            assert_eq!(positive::<NonZeroUsize>(text).unwrap_err(), "not a whole number of 1 or more", "{text:?}");
        }
        assert_eq!(positive::<NonZeroUsize>("0").unwrap_err(), "not a whole number of 1 or more");
        assert_eq!(whole::<u32>("4294967296").unwrap_err(), "too large a number");
        assert_eq!((number("-0.5"), number("half").is_err()), (Ok(-0.5), true));
    }

    #[test]
    fn labels_have_a_name_and_a_value() {
        assert_eq!(label("rack=7"), Ok(("rack".into(), "7".into())));
        assert_eq!(label("empty="), Ok(("empty".into(), String::new())));
        for text in ["", "rack", "=7", "a=\n"] {
            assert!(label(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("soon").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn durations_are_shown_as_exactly_as_a_person_cares() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (1234, "1.2 s"),
            (9940, "9.9 s"),
            (9960, "10 s"),
            (59_600, "1m"),
            (200_400, "3m 20s"),
        ] {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn times_are_shown_whatever_a_peer_sends() {
        assert_eq!(show_time(1_795_458_240_123), "2026-11-23T18:24:00Z");
        assert_eq!(show_time(u64::MAX), "9999-12-31T23:59:59Z");
    }
}

//! Opens a file of text, and unpacks it on the way. Concatenated members and frames are one text, as the tools that pack in parallel
//! write them.

use super::Packing;
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

/// The largest window of a frame, as a power of two: what `zstd --long=31` needs, and no format allows more.
const WINDOW: u32 = 31;

/// A reader of what is in the file.
///
/// # Errors
/// No such file, or no memory to unpack it.
pub(crate) fn open(path: &Path, packing: Packing) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    Ok(match packing {
        Packing::Plain => Box::new(BufReader::new(file)),
        Packing::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)))),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(BufReader::new(decoder))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn parts_that_were_packed_apart_are_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packed");
        let gzip = |text: &str| {
            let mut writer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        };
        // Between frames one that holds no text.
        let skipped = [&0x184D_2A53_u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
        let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (packing, bytes) in [
            (Packing::Gzip, [gzip("one "), gzip(""), gzip("two")].concat()),
            (Packing::Zstd, [zstd("one "), skipped, zstd(""), zstd("two")].concat()),
        ] {
            let read = |bytes: &[u8]| {
                std::fs::write(&path, bytes).unwrap();
                let mut text = String::new();
                open(&path, packing).unwrap().read_to_string(&mut text).map(|_| text)
            };
            assert_eq!(read(&bytes).unwrap(), "one two");
            assert!(read(&bytes[..bytes.len() - 3]).is_err(), "{packing:?}: what was cut off is missed");
        }
    }
}

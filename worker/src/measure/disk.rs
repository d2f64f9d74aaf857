//! How fast the disk of a folder is read and written, in the way a merge does: in order, in large pieces, and brought to disk.

use super::rate;
use rustix::fs::Advice;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// Written, brought to disk and then read.
const PIECE: usize = 16 << 20;
/// Pieces at most.
const PIECES: u32 = 4;
/// No further piece is written, or read, after so long.
const FOR: Duration = Duration::from_millis(150);
/// A disk with less room than this is left alone.
const ROOM: u64 = 1 << 30;
const NAME: &str = ".measure";

/// Bytes per second, as far as they could be found out.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) read: Option<u64>,
    pub(super) write: Option<u64>,
}

/// Of the disk on which a folder is.
pub(super) fn of(folder: &Path) -> Rates {
    measure(folder).unwrap_or_else(|error| {
        tracing::debug!("the disk of {} is not measured: {error}", folder.display());
        Rates::default()
    })
}

fn measure(folder: &Path) -> io::Result<Rates> {
    let sizes = rustix::fs::statvfs(folder)?;
    if sizes.f_bavail.saturating_mul(sizes.f_frsize) < ROOM {
        return Ok(Rates::default());
    }
    let mut file = nameless(&folder.join(NAME))?;
    let mut piece = vec![0u8; PIECE];
    // A disk that compresses has nothing to win here.
    let mut noise = fastrand::Rng::new();
    piece.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&noise.u64(..).to_le_bytes()));
    let mut rates = Rates::default();
    let start = Instant::now();
    let mut written = 0;
    while written < PIECES && start.elapsed() < FOR {
        file.write_all(&piece)?;
        file.sync_data()?;
        written += 1;
    }
    rates.write = rate(u64::from(written) * PIECE as u64, start.elapsed());
    // What the system still has in memory would be read at the speed of memory.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    file.rewind()?;
    let start = Instant::now();
    let mut read = 0;
    while read < written && start.elapsed() < FOR {
        file.read_exact(&mut piece)?;
        read += 1;
    }
    rates.read = rate(u64::from(read) * PIECE as u64, start.elapsed());
    Ok(rates)
}

/// A file that is gone as soon as it is closed, however this process ends.
fn nameless(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

//! The file `measured.json` of the data folder.

use super::Measured;
use crate::private_file;
use std::{fs, io, path::Path};

const NAME: &str = "measured.json";

impl Measured {
    /// What was measured at an earlier start. A file that is not what it should be counts as none: it is measured again.
    pub fn load(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data_dir.join(NAME)).ok()?).ok()
    }

    /// Keeps it for the next start.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, data_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        private_file::write(&data_dir.join(NAME), format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_kept_and_what_is_broken_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Measured::load(folder.path()), None);
        let measured = Measured { memory: Some(7), unix_millis: 3, ..Measured::default() };
        measured.save(folder.path()).unwrap();
        assert_eq!(Measured::load(folder.path()), Some(measured));
        fs::write(folder.path().join(NAME), "{\"memory\": -1}").unwrap();
        assert_eq!(Measured::load(folder.path()), None);
    }
}

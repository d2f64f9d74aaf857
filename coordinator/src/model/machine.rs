//! What a worker tells of its machine beside what it offers: how fast it was when it was looked at, and its GPUs one by one.

use serde::{Deserialize, Serialize};

/// Bytes per second, as far as the worker could find out before it had a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Read and written by copying in memory on all threads.
    pub memory: Option<u64>,
    /// Read from the disk of its data folder.
    pub disk_read: Option<u64>,
    /// Written there.
    pub disk_write: Option<u64>,
    /// From the coordinator to the node.
    pub network: Option<u64>,
    /// When, in milliseconds since 1970.
    pub unix_millis: u64,
}

/// A GPU as its driver describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub kind: String,
    /// Bytes of its memory.
    pub memory: u64,
    /// Whether its memory corrects errors; `None` where it cannot.
    pub ecc: Option<bool>,
    /// Links of NVLink that are up.
    pub nvlinks: u32,
    /// Generation and lanes of its PCIe link, at their most.
    pub pcie: Option<(u32, u32)>,
}

impl Measured {
    /// Bytes per second of a task that reads as much as it writes, and does nothing else.
    pub fn streaming(&self) -> Option<f64> {
        let per_byte = 0.5 / self.disk_read? as f64 + 0.5 / self.disk_write? as f64;
        (per_byte.is_finite() && per_byte > 0.0).then(|| 1.0 / per_byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_writing_take_turns() {
        let measured = |disk_read, disk_write| Measured { disk_read, disk_write, ..Measured::default() }.streaming();
        assert_eq!(measured(Some(300), Some(100)), Some(150.0));
        assert_eq!((measured(Some(1), None), measured(Some(0), Some(1))), (None, None));
    }
}

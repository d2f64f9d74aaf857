//! The GPUs of this machine, for work that is carried out in this process.

use crate::error::{Error, Result};
use std::fs;

/// All that this process may use, if these are enough.
pub(crate) fn enough(needed: u64) -> Result<u32> {
    let has = here();
    if needed > u64::from(has) {
        return Err(Error::usage(format!("the job asks for {needed} GPUs at once, and this machine offers {has}")));
    }
    Ok(has)
}

/// Those that `CUDA_VISIBLE_DEVICES` lists, or all that the driver names.
fn here() -> u32 {
    let count = match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(listed) => listed.split(',').filter(|name| !name.trim().is_empty()).count(),
        Err(_) => fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

//! One rank of a gather over NCCL: alone, a program; several of them show that the bytes come in rank order, and that none hangs where one
//! is gone.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use braid_gpu::{
    Device, GpuError,
    nccl::{Communicator, Nccl, NcclId},
};
use braid_kernels::philox4x32;

/// Bytes of each rank: several packets, and a part of one.
const LENGTHS: [usize; 3] = [1, 4096, 3_000_001];

/// What a rank is told.
pub(crate) struct Rank {
    rank: usize,
    size: usize,
    /// Where the first leaves the id of the group.
    file: PathBuf,
    limit: Duration,
}

impl Rank {
    pub(crate) fn parse(words: &[String]) -> Option<Self> {
        let [rank, size, file, seconds] = words else { return None };
        let (rank, size) = (rank.parse().ok()?, size.parse().ok()?);
        let limit = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
        (rank < size).then(|| Self { rank, size, file: file.into(), limit })
    }

    /// Gathers some times, and compares.
    pub(crate) fn run(&self) -> Result<(), GpuError> {
        let (library, device) = (Nccl::load()?, Device::open(0)?);
        let end = Instant::now() + self.limit;
        let id = self.meet(&library, end)?;
        let mut group = Communicator::join(&library, &device, id, (self.rank, self.size), self.limit)?;
        for (round, length) in LENGTHS.into_iter().enumerate() {
            let of = |rank: usize| -> Vec<u8> {
                (0..length)
                    .map(|place| philox4x32([(place / 16) as u32, round as u32, 0, 0], [rank as u32, 3])[place % 4] as u8)
                    .collect()
            };
            let mut all = vec![0; length * self.size];
            let in_time = || {
                let late = Instant::now() >= end;
                if late { Err(failed(format!("rank {} waited in vain", self.rank))) } else { Ok(()) }
            };
            group.all_gather(&of(self.rank), &mut all, in_time)?;
            if all != (0..self.size).flat_map(of).collect::<Vec<u8>>() {
                return Err(failed(format!("rank {} has other bytes of {length} a rank", self.rank)));
            }
        }
        println!("rank {} of {}: {} gathers, the bytes of all in rank order", self.rank, self.size, LENGTHS.len());
        Ok(())
    }

    /// The id, which the first rank makes and the others wait for.
    fn meet(&self, library: &Nccl, end: Instant) -> Result<NcclId, GpuError> {
        if self.rank == 0 {
            let (id, fresh) = (library.id()?, self.file.with_extension("new"));
            let left = fs::write(&fresh, id.0).and_then(|()| fs::rename(&fresh, &self.file));
            return left.map(|()| id).map_err(|error| failed(format!("{}: {error}", self.file.display())));
        }
        while Instant::now() < end {
            if let Ok(bytes) = fs::read(&self.file) {
                return bytes.try_into().map(NcclId).map_err(|_| failed(format!("{} holds no id", self.file.display())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(failed("the first rank left no id".into()))
    }
}

fn failed(problem: String) -> GpuError {
    GpuError::Nccl { problem }
}

//! How the parts of a node's machine are shown: its disks, its GPUs, and how fast it was when it was measured.

use crate::units::{show_bytes, show_duration};
use braid_proto::v1;
use serde::Serialize;
use std::{fmt, time::Duration};

/// A file system of a node.
#[derive(Debug, Serialize)]
pub(super) struct DiskView {
    mount: String,
    device: String,
    kind: String,
    total: u64,
    free: u64,
}

/// What a worker measured.
#[derive(Debug, Serialize)]
pub(super) struct MeasuredView {
    memory_bytes_per_second: Option<u64>,
    disk_read_bytes_per_second: Option<u64>,
    disk_write_bytes_per_second: Option<u64>,
    network_bytes_per_second: Option<u64>,
    unix_millis: u64,
}

/// A GPU, as its driver describes it.
#[derive(Debug, Serialize)]
pub(super) struct DeviceView {
    kind: String,
    memory: u64,
    ecc: Option<bool>,
    nvlinks: u32,
    pcie_generation: Option<u32>,
    pcie_lanes: Option<u32>,
}

impl fmt::Display for DiskView {
    /// `/data: 1.2 TB of 4.0 TB free (xfs, /dev/sda1)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mount, device, kind, total, free } = self;
        write!(f, "{mount}: {} of {} free ({kind}, {device})", show_bytes(*free), show_bytes(*total))
    }
}

impl From<v1::Disk> for DiskView {
    fn from(v1::Disk { mount, device, kind, total, free }: v1::Disk) -> Self {
        Self { mount, device, kind, total, free }
    }
}

impl MeasuredView {
    /// `memory 12 GB/s, disk 2 GB/s read and 1 GB/s written, network 1.1 GB/s; 3m ago`
    pub(super) fn text(&self, now: u64) -> String {
        let some = |what: &str, rate: Option<u64>, how: &str| rate.map(|rate| format!("{what}{}/s{how}", show_bytes(rate)));
        let disk = [some("", self.disk_read_bytes_per_second, " read"), some("", self.disk_write_bytes_per_second, " written")];
        let disk = disk.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let parts = [
            some("memory ", self.memory_bytes_per_second, ""),
            (!disk.is_empty()).then(|| format!("disk {disk}")),
            some("network ", self.network_bytes_per_second, ""),
        ];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let ago = Duration::from_millis(now.saturating_sub(self.unix_millis));
        format!("{}; {} ago", if parts.is_empty() { "nothing" } else { &parts }, show_duration(ago))
    }
}

impl From<v1::Measured> for MeasuredView {
    fn from(v1::Measured { memory, disk_read, disk_write, network, unix_millis }: v1::Measured) -> Self {
        let known = |rate: u64| (rate > 0).then_some(rate);
        Self {
            memory_bytes_per_second: known(memory),
            disk_read_bytes_per_second: known(disk_read),
            disk_write_bytes_per_second: known(disk_write),
            network_bytes_per_second: known(network),
            unix_millis,
        }
    }
}

impl fmt::Display for DeviceView {
    /// `NVIDIA H100 80GB HBM3, 85.5 GB, ECC, NVLink x18, PCIe 5 x16`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind, show_bytes(self.memory))?;
        match self.ecc {
            Some(true) => f.write_str(", ECC")?,
            Some(false) => f.write_str(", ECC off")?,
            None => {}
        }
        if self.nvlinks > 0 {
            write!(f, ", NVLink x{}", self.nvlinks)?;
        }
        match (self.pcie_generation, self.pcie_lanes) {
            (Some(generation), Some(lanes)) => write!(f, ", PCIe {generation} x{lanes}"),
            _ => Ok(()),
        }
    }
}

impl From<v1::Gpu> for DeviceView {
    fn from(v1::Gpu { kind, memory, ecc, nvlinks, pcie_generation, pcie_lanes }: v1::Gpu) -> Self {
        let known = |number: u32| (number > 0).then_some(number);
        Self { kind, memory, ecc, nvlinks, pcie_generation: known(pcie_generation), pcie_lanes: known(pcie_lanes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said() {
        let measured =
            |disk_read, network| MeasuredView::from(v1::Measured { disk_read, network, ..Default::default() }).text(1_000);
        assert_eq!(measured(0, 0), "nothing; 1.0 s ago");
        assert_eq!(measured(5_000_000, 7_000), "disk 5.0 MB/s read, network 7.0 kB/s; 1.0 s ago");
        let gpu = v1::Gpu { kind: "T4".into(), memory: 16_000_000_000, ecc: Some(false), ..Default::default() };
        assert_eq!(DeviceView::from(gpu).to_string(), "T4, 16.0 GB, ECC off");
    }
}

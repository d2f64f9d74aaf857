//! Asks the driver of NVIDIA which GPUs there are, through its management library, which is looked for when it is asked.

use super::Gpus;
use nvml_wrapper::{Nvml, error::NvmlError};
use std::fmt;

/// The library as drivers install it; the name without a number comes with packages for developers alone.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// The most links of NVLink that a GPU has.
const NVLINKS: u32 = 18;

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGpu {
    /// Its name: `NVIDIA H100 80GB HBM3`.
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

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenGpus {
    /// In the driver's order; of those that CUDA may use.
    pub gpus: Vec<SeenGpu>,
    /// The version of the driver.
    pub driver: String,
}

/// Why none was seen.
#[derive(Debug, thiserror::Error)]
pub enum NoGpus {
    /// There is no driver here.
    #[error("there is no {LIBRARY}")]
    NoLibrary,
    /// It does not answer as it should.
    #[error("the driver of the GPUs does not answer: {0}")]
    Driver(String),
}

impl SeenGpus {
    /// Asks the driver. `visible` is what `CUDA_VISIBLE_DEVICES` says, if it is set: the part of a node that a batch system gives.
    ///
    /// # Errors
    /// [`NoGpus`] where there is no driver, or a broken one.
    pub fn ask(visible: Option<&str>) -> Result<Self, NoGpus> {
        let nvml = match Nvml::builder().lib_path(LIBRARY.as_ref()).init() {
            Ok(nvml) => nvml,
            Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => return Err(NoGpus::NoLibrary),
            Err(error) => return Err(broken(&error)),
        };
        let names = match visible {
            Some(listed) => listed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
            None => (0..nvml.device_count().map_err(|error| broken(&error))?).map(|index| index.to_string()).collect::<Vec<_>>(),
        };
        let gpus = names.iter().map(|name| see(&nvml, name).map_err(|error| broken(&error))).collect::<Result<_, _>>()?;
        Ok(Self { gpus, driver: nvml.sys_driver_version().unwrap_or_default() })
    }

    /// What a worker offers of them: the first, and those after it that are of its kind. A task may have any of what it is given.
    pub fn offer(&self) -> Gpus {
        let Some(first) = self.gpus.first() else { return Gpus::default() };
        let alike = self.gpus.iter().take_while(|gpu| gpu.kind == first.kind);
        let memory = alike.clone().map(|gpu| gpu.memory).min().unwrap_or(0);
        Gpus { count: u32::try_from(alike.count()).unwrap_or(u32::MAX), kind: first.kind.clone(), memory }
    }
}

/// By number or by UUID, as CUDA names them.
fn see(nvml: &Nvml, name: &str) -> Result<SeenGpu, NvmlError> {
    let device = match name.parse() {
        Ok(index) => nvml.device_by_index(index)?,
        Err(_) => nvml.device_by_uuid(name)?,
    };
    Ok(SeenGpu {
        kind: device.name()?,
        memory: device.memory_info()?.total,
        ecc: device.is_ecc_enabled().ok().map(|ecc| ecc.currently_enabled),
        nvlinks: (0..NVLINKS).map(|link| u32::from(device.link_wrapper_for(link).is_active().unwrap_or(false))).sum(),
        pcie: device.max_pcie_link_gen().ok().zip(device.max_pcie_link_width().ok()),
    })
}

fn broken(error: &NvmlError) -> NoGpus {
    NoGpus::Driver(error.to_string())
}

impl fmt::Display for SeenGpu {
    /// `NVIDIA H100 80GB HBM3, ECC, NVLink x18, PCIe 5 x16`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match self.ecc {
            Some(true) => f.write_str(", ECC")?,
            Some(false) => f.write_str(", ECC off")?,
            None => {}
        }
        if self.nvlinks > 0 {
            write!(f, ", NVLink x{}", self.nvlinks)?;
        }
        match self.pcie {
            Some((generation, lanes)) => write!(f, ", PCIe {generation} x{lanes}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(kind: &str, memory: u64) -> SeenGpu {
        SeenGpu { kind: kind.into(), memory, ecc: None, nvlinks: 0, pcie: None }
    }

    #[test]
    fn those_of_one_kind_are_offered() {
        let offer = |gpus| SeenGpus { gpus, driver: String::new() }.offer();
        assert_eq!(offer(vec![]), Gpus::default());
        let mixed = vec![gpu("H100", 80), gpu("H100", 79), gpu("T4", 16), gpu("H100", 80)];
        assert_eq!(offer(mixed), Gpus { count: 2, kind: "H100".into(), memory: 79 });
    }

    #[test]
    fn a_gpu_is_described() {
        let full = SeenGpu { ecc: Some(true), nvlinks: 18, pcie: Some((5, 16)), ..gpu("H100", 80) };
        assert_eq!(full.to_string(), "H100, ECC, NVLink x18, PCIe 5 x16");
        assert_eq!(SeenGpu { ecc: Some(false), ..gpu("T4", 16) }.to_string(), "T4, ECC off");
    }

    #[test]
    fn a_machine_is_asked_whether_it_has_any_or_not() {
        match SeenGpus::ask(None) {
            Ok(seen) => assert_eq!(seen.offer().count > 0, !seen.gpus.is_empty()),
            Err(NoGpus::NoLibrary) => assert!(std::path::Path::new("/proc/driver/nvidia/version").metadata().is_err()),
            Err(NoGpus::Driver(problem)) => assert!(!problem.is_empty()),
        }
    }
}
